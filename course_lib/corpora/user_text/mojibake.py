"""Les accents lus deux fois : « Ã© » pour « é », « â€™ » pour « ’ ».

De l’UTF-8 pris pour du cp1252, du MacRoman ou du cp850, puis réenregistré : les signes qui ne sont
pas ASCII, réécrits dans cet encodage, redonnent de l’UTF-8. Aucun texte sain ne fait cela avec les
lettres du français.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice

# Ce que de l’UTF-8 mal lu peut rendre : les lettres de l’Europe de l’Ouest et la typographie.
_MEANT = "àâäæçéèêëîïôöùûüÿœñáíóúãõåøßìòÀÂÄÆÇÉÈÊËÎÏÔÖÙÛÜŸŒÑÁÍÓÚ«»“”‘’…–—€°§·¿¡\u00a0\u202f\u2009"
_WRONG_READINGS = ("cp1252", "latin-1", "mac-roman", "cp850", "cp437")
_HIGH = "[^\x00-\x7f]"


def _misread(sign: str, encoding: str) -> str | None:
    """Le signe écrit en UTF-8 et lu de travers ; les octets que cp1252 ignore restent."""
    chars = []
    for byte in sign.encode("utf-8"):
        try:
            chars.append(bytes([byte]).decode(encoding))
        except UnicodeDecodeError:
            chars.append(chr(byte))
    return "".join(chars)


@cache
def _marks() -> tuple[re.Pattern, dict[str, str]]:
    meant = {_misread(sign, e): sign for e in reversed(_WRONG_READINGS) for sign in _MEANT}
    by_length = sorted(meant, key=len, reverse=True)
    leads = "".join(sorted({re.escape(mark[0]) for mark in meant}))
    pattern = f"(?=[{leads}]{_HIGH})(?:{'|'.join(map(re.escape, by_length))})"
    return re.compile(pattern), meant


# D’autres langues : des signes qui se suivent et redonnent plusieurs lettres, « Ð¿Ñ€ » pour « пр »,
# ou une capitale égarée dans un mot et le signe qui la suit, « klasÄ—s » pour « klasės ».
_RUN = re.compile(f"{_HIGH}{{4,}}")
_STRAY = re.compile(f"[ÄÅƒ≈]{_HIGH}(?=[a-z])|(?<=[a-z])[ÄÅƒ≈]{_HIGH}")
_MAX_RUNS = 2000  # dans chaque morceau du texte : du grec est une suite de telles suites


def find_mojibake(text: str) -> int | None:
    """Position des premiers accents lus de travers ; None pour un texte sain."""
    if text.isascii():
        return None
    found = [match.start() for match in (_marks()[0].search(text), _other_letters(text)) if match]
    return min(found, default=None)


def restored(text: str, index: int) -> tuple[str, str]:
    """Ce que le texte porte à cet endroit, et ce qu’il devait porter."""
    pattern, meant = _marks()
    if match := pattern.match(text, index):
        return match[0], meant[match[0]]
    match = _RUN.match(text, index) or _STRAY.match(text, index)
    return match[0], _read_again(match[0])


def _other_letters(text: str) -> re.Match | None:
    for pattern in (_RUN, _STRAY):
        for match in islice(pattern.finditer(text), _MAX_RUNS):
            if _read_again(match[0]):
                return match
    return None


def _read_again(run: str) -> str | None:
    """Ces signes réécrits dans un mauvais encodage et lus en UTF-8, si ce sont des lettres."""
    for encoding in _WRONG_READINGS:
        try:
            read = b"".join(_to_byte(char, encoding) for char in run).decode("utf-8")
        except UnicodeError:
            continue
        if all(char.isalpha() or char in _MEANT for char in read) and read[0].isalpha():
            return read
    return None


def _to_byte(char: str, encoding: str) -> bytes:
    return char.encode("latin-1" if "\x80" <= char < "\xa0" else encoding)
