"""Les réglages du tirage, communs aux commandes qui écrivent."""

from argparse import ArgumentTypeError, Namespace

from course_lib.arguments import natural_float, natural_int, positive_int
from course_lib.generation import SamplingConfig
from course_lib.typography import format_number


def add_sampling(parser, temperature: float, top_p: float | None, max_tokens: int) -> None:
    """Ajoute --temperature, --top-p, --min-p, --max-tokens et --seed."""
    add = parser.add_argument
    add(
        "--temperature", type=natural_float, default=temperature, metavar="X",
        help="audace ; 0 : toujours le jeton le plus probable "
        f"(défaut : {format_number(temperature)})",
    )  # fmt: skip
    kept = "tous" if top_p is None else format_number(top_p)
    add(
        "--top-p", type=share, default=top_p, metavar="X",
        help="ne tire que parmi les plus probables, jusqu’à réunir cette part de la probabilité "
        f"(défaut : {kept})",
    )  # fmt: skip
    add(
        "--min-p", type=share, metavar="X",
        help="écarte les jetons moins probables que X fois le plus probable (défaut : aucun)",
    )  # fmt: skip
    add(
        "--max-tokens", type=positive_int, default=max_tokens, metavar="N",
        help=f"longueur d’un texte, en jetons, au plus (défaut : {max_tokens})",
    )  # fmt: skip
    add("--seed", type=natural_int, default=0, metavar="N", help="graine du hasard (défaut : 0)")


def sampling_of(options: Namespace) -> SamplingConfig:
    """Les réglages demandés."""
    return SamplingConfig(options.temperature, top_p=options.top_p, min_p=options.min_p)


def share(text: str) -> float:
    """Une part : plus de 0, au plus 1 ; à virgule ou à point."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ArgumentTypeError(f"« {text} » n’est pas une part : il faut plus de 0, et au plus 1")
    return value
