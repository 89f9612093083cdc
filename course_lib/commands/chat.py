"""`python -m course_lib chat` : converser avec un modèle d’instruction, dans son gabarit."""

import sys

from course_lib.arguments import FrenchArgumentParser
from course_lib.commands.failures import french_warnings, run_command, say
from course_lib.commands.opening import add_model, next_command, open_model, start_ids
from course_lib.commands.sampling_options import add_sampling, sampling_of
from course_lib.commands.write import ask
from course_lib.generation import TextGenerator
from course_lib.pretrained.loading import Pretrained

_RESTART = ("/effacer", "/clear")


def build_parser() -> FrenchArgumentParser:
    """Les options de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_lib chat",
        description="Une conversation : chaque réponse tient compte de ce qui précède. "
        "/effacer recommence, /quitter (ou Ctrl-D) finit, Ctrl-C interrompt une réponse.",
    )
    add_model(parser, "smollm2")
    parser.add_argument(
        "--system", metavar="TEXTE", help="la consigne du modèle (défaut : celle de son gabarit)"
    )
    add_sampling(parser, temperature=0.2, top_p=0.9, max_tokens=400)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande ; renvoie 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    options = build_parser().parse_args(arguments)
    with french_warnings():
        return run_command(lambda: _run(options))


def _run(options) -> None:
    loaded = open_model(options.model, options.device)
    if loaded.chat_template is None:
        beginning = next_command("write", options.model, "--start", "…")
        raise ValueError(
            f"« {options.model} » n’a pas de gabarit de conversation : il n’a pas appris à "
            f"répondre. Faites-lui écrire une suite ({beginning}), ou conversez avec un modèle "
            f"d’instruction ({next_command('chat', 'smollm2')})."
        )
    say("Posez votre question, puis Entrée. /effacer recommence, /quitter finit.", error=True)
    Conversation(loaded, options).run()
    after = next_command("write", options.model, "--start", "…")
    say(f"Pour le faire écrire sans gabarit : {after}", error=True)


class Conversation:
    """L’échange en cours. `messages` : ce qui a été dit, consigne comprise."""

    def __init__(self, loaded: Pretrained, options):
        self.loaded, self.options = loaded, options
        self.generator = TextGenerator(loaded.model, loaded.tokenizer)
        self.number = 0
        self.restart()

    def restart(self) -> None:
        """Oublie tout, sauf la consigne."""
        system = self.options.system
        self.messages = [] if system is None else [{"role": "system", "content": system}]

    def run(self) -> None:
        """Demande, répond, et recommence."""
        while (question := ask("vous > ")) is not None:
            if question.strip().lower() in _RESTART:
                self.restart()
                say("(conversation effacée)", error=True)
            elif question.strip():
                self._answer(question)

    def _answer(self, question: str) -> None:
        """Écrit la réponse au fil de l’eau ; interrompue, ce qui est écrit compte."""
        self.messages.append({"role": "user", "content": question})
        pieces = []
        try:
            for piece in self._stream():
                say(piece, end="")
                pieces.append(piece)
            say("")
        except KeyboardInterrupt:
            say("\n(réponse interrompue)", error=True)
        except ValueError as error:  # un message impossible n’arrête pas la conversation
            self.messages.pop()
            say(str(error), error=True)
            return
        self.messages.append({"role": "assistant", "content": "".join(pieces)})

    def _stream(self):
        prompt = self._fitting_prompt()
        self.number += 1
        settings = {"sampling": sampling_of(self.options), "stop_ids": self.loaded.eos_ids}
        seed = self.options.seed + self.number - 1
        return self.generator.stream(prompt, self.options.max_tokens, seed=seed, **settings)

    def _fitting_prompt(self) -> str:
        """La conversation écrite par le gabarit ; les plus vieux échanges cèdent la place."""
        context = self.loaded.model.embedding.context_length
        while True:
            prompt = self._rendered()
            n_tokens = len(self.generator.encode(prompt))
            if n_tokens + self.options.max_tokens <= context:
                return prompt
            first = 1 if self.messages[0]["role"] == "system" else 0
            if len(self.messages) - first < 3:
                raise ValueError(
                    f"La question et la réponse demanderaient {n_tokens + self.options.max_tokens} "
                    f"jetons, et le contexte en tient {context} : raccourcissez la question, ou "
                    "réduisez --max-tokens."
                )
            del self.messages[first : first + 2]  # une question et sa réponse
            say("(le plus ancien échange sort du contexte)", error=True)

    def _rendered(self) -> str:
        """Le texte du gabarit, sans le début que le tokeniseur mettra lui-même."""
        text = self.loaded.chat_template.render(self.messages)
        start = self.loaded.tokenizer.decode(start_ids(self.loaded.tokenizer))
        return text.removeprefix(start)


if __name__ == "__main__":
    sys.exit(main())
