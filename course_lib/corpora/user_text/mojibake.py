"""Les accents lus deux fois : « Ã© » pour « é », « â€™ » pour « ’ ».

De l’UTF-8 pris pour du cp1252, du MacRoman ou du cp850, puis réenregistré : les signes qui ne sont
pas ASCII, réécrits dans cet encodage, redonnent de l’UTF-8. Aucun texte sain ne fait cela avec les
lettres du français.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

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
    return re.compile("|".join(map(re.escape, by_length))), meant


# D’autres langues : des signes qui se suivent et redonnent plusieurs lettres, « Ð¿Ñ€ » pour « пр »,
# ou une capitale égarée dans un mot et le signe qui la suit, « klasÄ—s » pour « klasės ».
_RUN = re.compile(f"{_HIGH}{{4,}}")
_STRAY = re.compile(f"[ÄÅƒ≈]{_HIGH}(?=[a-z])|(?<=[a-z])[ÄÅƒ≈]{_HIGH}")
_USUAL = re.compile("[À-ſͰ-ӿ\u0590-\u06ff\u3000-\u9fff가-힣«»‘-”…–—]+")  # latin, grec, cyrillique…
_MAX_RUNS = 2000  # dans chaque morceau du texte : du grec est une suite de telles suites


def find_mojibake(text: str) -> int | None:
    """Position des premiers accents lus de travers ; None pour un texte sain."""
    return next((place for place in _candidates(text) if _is_mojibake(text, place)), None)


def _candidates(text: str) -> list[int]:
    """Où chercher : un signe de tête suivi d’un signe non ASCII, ou quatre signes de suite."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    high = codes > 127
    pairs = np.flatnonzero(high[:-1] & high[1:])
    leads = pairs[np.isin(codes[pairs], [ord(char) for char in _leads()])]
    runs = np.flatnonzero(high[:-3] & high[1:-2] & high[2:-1] & high[3:])
    runs = runs[(runs == 0) | ~high[runs - 1]][:_MAX_RUNS]
    return np.union1d(leads, runs).tolist()


@cache
def _leads() -> frozenset[str]:
    return frozenset(mark[0] for mark in _marks()[1]) | frozenset("ÄÅƒ≈")


def _is_mojibake(text: str, place: int) -> bool:
    if _marks()[0].match(text, place):
        return True
    match = _RUN.match(text, place) or _STRAY.match(text, place)
    return bool(match and _read_again(match[0]))


def restored(text: str, index: int) -> tuple[str, str]:
    """Ce que le texte porte à cet endroit, et ce qu’il devait porter."""
    pattern, meant = _marks()
    if match := pattern.match(text, index):
        return match[0], meant[match[0]]
    match = _RUN.match(text, index) or _STRAY.match(text, index)
    return match[0], _read_again(match[0])


def _read_again(run: str) -> str | None:
    """Ces signes réécrits dans un mauvais encodage et lus en UTF-8, si ce sont des lettres."""
    for encoding in _WRONG_READINGS:
        try:
            read = b"".join(_to_byte(char, encoding) for char in run).decode("utf-8")
        except UnicodeError:
            continue
        if (len(run) < 4 and read.isalpha()) or (len(read) > 2 and _USUAL.fullmatch(read)):
            return read
    return None


def _to_byte(char: str, encoding: str) -> bytes:
    return char.encode("latin-1" if "\x80" <= char < "\xa0" else encoding)
