"""La typographie française des nombres et des textes que le lecteur rencontre.

Un nombre s’écrit « 1 234,5 », un pourcentage « 12,3 % » ; l’espace qui précède « ; » est fine.
"""

import math
import re

NO_BREAK = "\u00a0"
NARROW_NO_BREAK = "\u202f"
MINUS = "\u2212"


def format_number(value: float, digits: int | None = None) -> str:
    """Écrit un nombre à la française : milliers séparés d’une fine insécable, virgule décimale.

    `digits` est le nombre de décimales ; sans lui, un entier n’en a pas et un réel garde au plus
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


_SCALES = ((1e9, "milliard"), (1e6, "million"))  # « billion » prêterait à confusion
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def large_number(value: float) -> str:
    """Écrit un grand nombre en mots : « 124 millions », « 15 000 milliards », « 3,1 × 10²³ ».

    Trois chiffres significatifs au plus, ou la partie entière. Le pluriel commence à deux.
    """
    number = float(value)
    magnitude = abs(number)
    if not 1e6 <= magnitude < math.inf:
        return _three_figures(number)
    if magnitude >= 1e15:
        return power_of_ten(number)
    # 999,9 millions s’arrondit à un milliard : on choisit le mot après l’arrondi.
    rounded = float(f"{magnitude:.2e}")
    scale, word = next(pair for pair in _SCALES if rounded >= pair[0])
    plural = "s" if rounded / scale >= 2 else ""
    return f"{_three_figures(number / scale)}{NO_BREAK}{word}{plural}"


def power_of_ten(value: float) -> str:
    """Écrit « 10⁹ » ou « 3,1 × 10²³ » ; sous le million, le nombre lui-même."""
    number = float(value)
    if not 1e6 <= abs(number) < math.inf:
        return _three_figures(number)
    number = float(f"{number:.1e}")  # 9,96 × 10⁹ s’arrondit à 10¹⁰
    exponent = math.floor(math.log10(abs(number)) + 1e-9)
    power = f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    mantissa = format_number(number / 10**exponent, 1).removesuffix(",0")
    return power if mantissa == "1" else f"{mantissa}{NO_BREAK}×{NO_BREAK}{power}"


def _three_figures(number: float) -> str:
    """Trois chiffres significatifs, sans zéro inutile ; les entiers gardent tous leurs chiffres."""
    if not 1 <= abs(number) < math.inf:
        return format_number(number)
    text = format_number(number, max(0, 2 - math.floor(math.log10(abs(number)))))
    return text.rstrip("0").rstrip(",") if "," in text else text


def french_spaces(text: str) -> str:
    """Pose apostrophes courbes et espaces insécables : « mot », deux-points, ! ? ; et %.

    Le code entre accents graves n’est pas touché.
    """
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _space(part) for part in parts)


def _space(text: str) -> str:
    """Applique les règles d’espacement à un passage sans code."""
    text = re.sub(r"(?<=\w)'(?=\w|«)", "’", text)
    text = re.sub(r" +(?=[!?;])", NARROW_NO_BREAK, text)
    text = re.sub(r" +(?=[:»%])", NO_BREAK, text)
    return re.sub(r"« +", "«" + NO_BREAK, text)
