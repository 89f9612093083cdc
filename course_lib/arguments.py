"""Un analyseur d’arguments qui parle français jusqu’au bout : aide, usage et messages d’erreur."""

import argparse
import re
import sys
from pathlib import Path

# Les messages d’argparse, et leur traduction ; le premier motif qui convient l’emporte.
_TRANSLATIONS = (
    (r"the following arguments are required: (.*)", r"il manque : \1"),
    (r"one of the arguments (.*) is required", r"il manque l’une de ces options : \1"),
    (r"unrecognized arguments: (-.*)", r"option inconnue : \1"),
    (r"unrecognized arguments: (.*)", r"argument de trop : \1"),
    (r"expected one argument", r"une valeur est attendue"),
    (r"expected at most one argument", r"une valeur au plus est attendue"),
    (r"expected at least one argument", r"au moins une valeur est attendue"),
    (r"expected (\d+) arguments?", r"\1 valeurs sont attendues"),
    (r"ambiguous option: (\S+) could match (.*)", r"option ambiguë : \1 peut désigner \2"),
    (r"not allowed with argument (.*)", r"incompatible avec l’option \1"),
    (r"invalid choice: (.*) \(choose from (.*)\)", r"choix impossible : \1 (au choix : \2)"),
    (r"unknown parser (.*) \(choices: (.*)\)", r"commande inconnue : \1 (au choix : \2)"),
    (r"ignored explicit argument (.*)", r"cette option ne prend pas de valeur, et reçoit \1"),
    (r"can't open '(.*)': .*", r"impossible d’ouvrir « \1 »"),
    (r"invalid \w+ value: (.*)", r"valeur impossible : \1"),
)
_PLACEHOLDERS = {int: "N", float: "X", Path: "CHEMIN"}


class _FrenchFormatter(argparse.HelpFormatter):
    def __init__(self, prog, **options):
        super().__init__(prog, max_help_position=30, width=100, **options)

    def add_usage(self, usage, actions, groups, prefix=None):
        super().add_usage(usage, actions, groups, "usage : " if prefix is None else prefix)

    def _get_default_metavar_for_optional(self, action):
        """Ce qui tient lieu de valeur dans l’aide : N pour un entier, et non le nom anglais."""
        kind = getattr(action.type, "__annotations__", {}).get("return", action.type)
        return _PLACEHOLDERS.get(kind, "VALEUR")


class FrenchArgumentParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` sans un mot d’anglais ; sort avec le code 2 en cas d’erreur."""

    def __init__(self, *args, **options):
        super().__init__(
            *args, add_help=False, allow_abbrev=False, formatter_class=_FrenchFormatter, **options
        )
        self._optionals.title = "options "
        self._positionals.title = "arguments "
        self.add_argument("-h", "--help", action="help", help="affiche cette aide et s’arrête")

    def error(self, message: str):
        """Affiche l’usage et l’erreur, en français, puis sort avec le code 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog} : erreur : {translate(message)}\n")


def translate(message: str) -> str:
    """Traduit un message d’argparse ; le rend tel quel s’il est déjà en français."""
    if match := re.fullmatch(r"argument (\S+): (.*)", message, flags=re.DOTALL):
        what = "option" if match[1].startswith("-") else "argument"
        return f"{what} {match[1]} : {translate(match[2])}"
    for pattern, replacement in _TRANSLATIONS:
        if match := re.fullmatch(pattern, message, flags=re.DOTALL):
            return match.expand(replacement)
    return message


def positive_int(text: str) -> int:
    """Entier d’au moins 1 ; « 4_000_000 » et « 4 000 000 » sont compris."""
    try:
        value = int(re.sub(r"[\s_]", "", text))
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"« {text} » n’est pas un entier d’au moins 1")
    return value


def natural_int(text: str) -> int:
    """Entier positif ou nul."""
    return 0 if text.strip() == "0" else positive_int(text)


def positive_float(text: str) -> float:
    """Nombre strictement positif, à virgule ou à point."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"« {text} » n’est pas un nombre positif")
    return value


def natural_float(text: str) -> float:
    """Nombre positif ou nul."""
    return 0.0 if text.strip() in ("0", "0.0", "0,0") else positive_float(text)
