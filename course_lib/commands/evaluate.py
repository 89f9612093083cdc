"""`python -m course_lib evaluate MODÈLE TEXTE…` : ce que coûte un texte, en bits par octet."""

import math
import sys
from dataclasses import dataclass

from tqdm.auto import tqdm

from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.commands.characters import array_encoder
from course_lib.commands.failures import french_warnings, run_command, say
from course_lib.commands.opening import MODEL_HELP, add_device, next_command, open_model, start_ids
from course_lib.commands.options import encoding_name
from course_lib.corpora.user_text import read_user_text
from course_lib.evaluation.sliding import text_bits
from course_lib.typography import format_number, format_percent

_WINDOW = 1024  # jetons : au-delà, relire coûte plus que l’on n’y gagne


@dataclass(frozen=True)
class Score:
    """La mesure d’un texte, ou de plusieurs mis ensemble."""

    bits: float
    n_tokens: int
    n_bytes: int
    n_characters: int

    def __add__(self, other: "Score") -> "Score":
        return Score(*(getattr(self, n) + getattr(other, n) for n in self.__dataclass_fields__))

    def __str__(self) -> str:
        return (
            f"{format_number(self.bits / self.n_bytes, 4)} bits par octet, "
            f"{format_number(self.bits / self.n_characters, 4)} par caractère, "
            f"{format_number(self.bits * math.log(2) / self.n_tokens, 4)} nats par jeton "
            f"({format_number(self.n_bytes, 0)} octets, {format_number(self.n_tokens, 0)} jetons)"
        )


def build_parser() -> FrenchArgumentParser:
    """Les options de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_lib evaluate",
        description="Mesure ce qu’un texte a de surprenant pour un modèle. Les bits par octet ne "
        "dépendent pas du découpage : ils comparent deux modèles. Au hasard : 8 ; un texte que le "
        "modèle a appris donne un nombre flatteur.",
    )
    parser.add_argument("model", metavar="MODÈLE", help=MODEL_HELP)
    parser.add_argument(
        "texts", nargs="+", metavar="TEXTE", help="un fichier, ou un dossier de .txt"
    )
    parser.add_argument(
        "--context-length", type=positive_int, metavar="N",
        help="largeur de la fenêtre, qui avance de moitié (défaut : le contexte du modèle, "
        f"{format_number(_WINDOW, 0)} au plus)",
    )  # fmt: skip
    parser.add_argument(
        "--encoding",
        type=encoding_name,
        metavar="NOM",
        help="encodage des textes (défaut : reconnu)",
    )
    add_device(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande ; renvoie 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    options = build_parser().parse_args(arguments)
    with french_warnings():
        return run_command(lambda: _run(options))


def _run(options) -> None:
    read = [read_user_text(path, encoding=options.encoding) for path in options.texts]
    loaded = open_model(options.model, options.device)
    limit = loaded.model.embedding.context_length
    window = options.context_length or min(limit, _WINDOW)
    if window > limit:
        raise ValueError(
            f"--context-length {window} : ce modèle lit {limit} jetons à la fois, au plus."
        )
    say(f"Fenêtre de {format_number(window, 0)} jetons, qui avance de moitié.")
    scores = []
    for path, one in zip(options.texts, read, strict=True):
        for notice in one.notices:
            say(f"{path} : {notice}", error=True)
        scores.append(score_text(loaded, one.text, window))
        say(f"{path} : {scores[-1]}")
    if len(scores) > 1:
        say(f"Ensemble : {sum(scores[1:], scores[0])}")
    say(f"\nPour le faire écrire : {next_command('write', options.model, '--start', '…')}")


def score_text(loaded, text: str, window: int) -> Score:
    """Mesure un texte ; avertit si le découpage en perd une part, que la mesure ne compte pas."""
    tokenizer = loaded.tokenizer
    ids = array_encoder(tokenizer)(text).tolist()
    _warn_of_losses(tokenizer, text, ids)
    with tqdm(
        total=len(ids), desc="Lecture", disable=not sys.stderr.isatty(), leave=False,
        bar_format="{desc} {percentage:3.0f} % |{bar}| {elapsed} passé, {remaining} restant",
    ) as bar:  # fmt: skip
        bits = text_bits(loaded.model, ids, start_ids(tokenizer), window, bar.update)
    return Score(bits, len(ids), len(text.encode()), len(text))


def _warn_of_losses(tokenizer, text: str, ids: list[int]) -> None:
    unknown = 0 if tokenizer.unk_id is None else ids.count(tokenizer.unk_id)
    if unknown:
        say(
            f"{format_percent(unknown / len(ids), 1)} des jetons sont hors du vocabulaire : "
            "deviner « inconnu » ne dit pas lequel, la mesure est trop flatteuse d’autant.",
            error=True,
        )
    elif tokenizer.decode(ids) != text:
        say(
            "Ce découpage ne rend pas le texte tel quel (des espaces, par exemple) : la mesure, "
            "qui ne compte pas ce qu’il perd, est trop flatteuse.",
            error=True,
        )


if __name__ == "__main__":
    sys.exit(main())
