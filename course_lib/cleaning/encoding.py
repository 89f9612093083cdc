"""Les textes mal décodés : les reconnaître, les réparer, sans jamais toucher à un texte sain.

« Ã© » est un « é » écrit en UTF-8 et lu en cp1252. On refait l’erreur à l’envers : écrire en
cp1252, lire en UTF-8. Une ligne n’est réparée que si elle contient la marque d’une telle lecture et
si la réparation n’en ajoute pas. Un « � » a perdu son octet : rien ne le rendra.
"""

from __future__ import annotations

import re

from course_lib.corpora.user_text import FRENCH_SIGNS
from course_lib.corpora.web.damage import misread, misread_latin1

MAX_PASSES = 3  # une page peut avoir été mal lue deux fois, rarement davantage
REPLACEMENT = "\ufffd"
# Les marques : ce que deviennent, lus de travers, les signes du français, quelques lettres de ses
# voisins, puis « Ã » et « Å », qui trahissent une seconde mauvaise lecture. « Â » suivi d’une
# espace insécable pourrait finir un vrai mot : il faut donc que la ligne entière se décode.
_SIGNS = FRENCH_SIGNS - {"\u00ad"} | set("ßòìõãåøÃÅ")
_MARKS = sorted({reading(sign) for sign in _SIGNS for reading in (misread, misread_latin1)})
_MARK = re.compile("|".join(map(re.escape, sorted(_MARKS, key=len, reverse=True))))


def damage_score(text: str) -> int:
    """Nombre de marques de mauvaise lecture et de « � » dans un texte ; 0 pour un texte sain."""
    return len(_MARK.findall(text)) + text.count(REPLACEMENT)


def repair(text: str) -> str:
    """Répare, ligne par ligne, un texte lu de travers une ou plusieurs fois.

    Un texte sans marque est rendu tel quel, et `damage_score` ne grandit jamais.
    """
    return "".join(_repair_line(line) for line in re.split(r"(\n)", text))


def unreadable_share(text: str) -> float:
    """Part des caractères qui sont des « � », entre 0 et 1."""
    return text.count(REPLACEMENT) / max(1, len(text))


def _repair_line(line: str) -> str:
    """Défait une à une les mauvaises lectures, tant que la ligne ne s’en porte pas plus mal."""
    for _ in range(MAX_PASSES):
        candidate = _read_again(line) if _MARK.search(line) else None
        if candidate is None or damage_score(candidate) > damage_score(line):
            return line
        line = candidate
    return line


def _read_again(line: str) -> str | None:
    """La ligne écrite en cp1252 (ou latin-1) puis lue en UTF-8 ; None si c’est impossible."""
    try:
        return b"".join(map(_to_byte, line)).decode("utf-8")
    except UnicodeError:
        return None


def _to_byte(char: str) -> bytes:
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:
        return char.encode("latin-1")  # les octets que cp1252 ne définit pas
