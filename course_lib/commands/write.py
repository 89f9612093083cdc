"""`python -m course_lib write MODÈLE --start TEXTE` : faire écrire un modèle."""

import sys
from collections.abc import Iterator

from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.commands.failures import french_warnings, run_command, say
from course_lib.commands.opening import add_model, next_command, open_model, start_ids
from course_lib.commands.sampling_options import add_sampling, sampling_of
from course_lib.generation import TextGenerator

_QUIT = ("/quitter", "/quit", "/q")


def build_parser() -> FrenchArgumentParser:
    """Les options de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_lib write",
        description="Écrit la suite d’un début, au fil de l’eau. Au-delà du contexte, la fenêtre "
        "glisse : le modèle relit la fin de ce qu’il a écrit.",
    )
    add_model(parser, "petit_llm")
    parser.add_argument(
        "--start", metavar="TEXTE", help="le début à continuer (défaut : un texte neuf)"
    )
    parser.add_argument(
        "--n", type=positive_int, default=1, metavar="N", help="nombre de textes (défaut : 1)"
    )
    add_sampling(parser, temperature=0.8, top_p=None, max_tokens=200)
    parser.add_argument(
        "--interactive", action="store_true", help="demande un début, écrit, et recommence"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande ; renvoie 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.interactive and options.start is not None:
        parser.error("--start ne va pas avec --interactive, qui demande lui-même les débuts")
    with french_warnings():
        return run_command(lambda: _run(options))


def _run(options) -> None:
    loaded = open_model(options.model, options.device)
    generator = TextGenerator(loaded.model, loaded.tokenizer)
    if options.interactive:
        _converse(generator, loaded.eos_ids, options)
    else:
        start = _first_sign(generator) if options.start is None else options.start
        for number in range(options.n):
            if options.n > 1:
                say(f"— Texte {number + 1} sur {options.n} —", error=True)
            _write(generator, start, loaded.eos_ids, options, options.seed + number)
    after = next_command("evaluate", options.model, "TEXTE.txt")
    say(f"\nPour mesurer ce modèle sur un texte : {after}", error=True)


def _first_sign(generator: TextGenerator) -> str:
    """De quoi commencer un texte neuf : rien si le modèle a appris un début, sinon une ligne."""
    if start_ids(generator.tokenizer):
        return ""
    if not generator.tokenizer.encode("\n"):
        raise ValueError(
            "Ce modèle n’a appris aucun jeton de début, et son découpage ne connaît pas la fin de "
            "ligne : donnez-lui un début, par exemple --start « Le »."
        )
    return "\n"


def _write(generator: TextGenerator, start: str, ends, options, seed: int) -> None:
    """Le début, puis la suite, morceau par morceau."""
    start = fitting_end(generator, start)
    say(start.removeprefix("\n") if start == "\n" else start, end="")
    for piece in _pieces(generator, start, ends, options, seed):
        say(piece, end="")
    say("")


def _pieces(generator: TextGenerator, start: str, ends, options, seed: int) -> Iterator[str]:
    settings = {"sampling": sampling_of(options), "stop_ids": ends, "seed": seed}
    return generator.stream(start, options.max_tokens, **settings)


def fitting_end(generator: TextGenerator, text: str) -> str:
    """La fin d’un texte qui laisse au moins une demi-fenêtre à la suite ; le dit si elle coupe."""
    context = generator.model.embedding.context_length
    ids, spans = generator.tokenizer.encode_with_spans(text)
    room = context - len(start_ids(generator.tokenizer))
    if len(ids) <= room:
        return text
    kept = text[spans[-max(1, room // 2)][0] :]
    say(
        f"Le début compte {len(ids)} jetons et le contexte du modèle {context} : il n’en lit que "
        f"la fin ({len(kept)} caractères sur {len(text)}).",
        error=True,
    )
    return kept


def _converse(generator: TextGenerator, ends, options) -> None:
    """Un début, un texte, un autre début… jusqu’à /quitter, Ctrl-D, ou Ctrl-C à l’invite."""
    say("Donnez un début, puis Entrée. Pour finir : /quitter, ou Ctrl-D.", error=True)
    number = 0
    while (start := ask("début > ")) is not None:
        if not start.strip():
            continue
        try:
            _write(generator, start, ends, options, options.seed + number)
        except KeyboardInterrupt:
            say("\n(interrompu)", error=True)
        except ValueError as error:  # un début impossible n’arrête pas la séance
            say(str(error), error=True)
        number += 1


def ask(prompt: str) -> str | None:
    """La ligne que tape l’utilisateur ; None s’il veut s’arrêter."""
    try:
        say(prompt if sys.stdin.isatty() else "", error=True, end="")
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        say("", error=True)
        return None
    text = line.rstrip("\n")
    return None if not line or text.strip().lower() in _QUIT else text


if __name__ == "__main__":
    sys.exit(main())
