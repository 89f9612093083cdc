"""La typographie française des nombres et des textes que le lecteur rencontre.

Un nombre s'écrit « 1 234,5 », un pourcentage « 12,3 % » ; l'espace qui précède « ; » est fine.
"""

import re

NO_BREAK = "\u00a0"
NARROW_NO_BREAK = "\u202f"
MINUS = "\u2212"


def format_number(value: float, digits: int | None = None) -> str:
    """Écrit un nombre à la française : milliers séparés d'une fine insécable, virgule décimale.

    `digits` est le nombre de décimales ; sans lui, un entier n'en a pas et un réel garde au plus
    trois chiffres après la virgule, sans zéro inutile.
    """
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return {"nan": "indéfini", "inf": "∞", "-inf": f"{MINUS}∞"}[str(number)]
    text = f"{number:,.{3 if digits is None else digits}f}"
    if digits is None:
        text = text.rstrip("0").rstrip(".")
    if not text.strip("-0.,"):  # « −0,0 » ne dit rien de plus que « 0,0 »
        text = text.lstrip("-")
    return text.replace(",", NARROW_NO_BREAK).replace(".", ",").replace("-", MINUS)


def format_percent(ratio: float, digits: int = 0) -> str:
    """Écrit un rapport en pour cent : `format_percent(0.123, 1)` donne « 12,3 % »."""
    return format_number(100 * float(ratio), digits) + NO_BREAK + "%"


def french_spaces(text: str) -> str:
    """Pose apostrophes courbes et espaces insécables : « mot », deux-points, ! ? ; et %.

    Le code entre accents graves n'est pas touché.
    """
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _space(part) for part in parts)


def _space(text: str) -> str:
    """Applique les règles d'espacement à un passage sans code."""
    text = re.sub(r"(?<=\w)'(?=\w|«)", "’", text)
    text = re.sub(r" +(?=[!?;])", NARROW_NO_BREAK, text)
    text = re.sub(r" +(?=[:»%])", NO_BREAK, text)
    return re.sub(r"« +", "«" + NO_BREAK, text)
