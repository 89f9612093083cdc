"""La vraisemblance d’un signe entre ses deux voisins, en français : « cœur » oui, « c½ur » non.

Les lettres accentuées sont jugées sur leurs voisines, comptées dans deux cent vingt romans français
du domaine public (116 millions de caractères) : `french_letters.json` donne, pour un million de
signes non ASCII, combien tombent entre deux voisins donnés. Les signes de ponctuation suivent les
usages de la typographie. Une lettre étrangère n’est ni favorisée ni exclue.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

FLOOR = -23.0  # « c½ur », « ŽtŽ » : nul texte n’écrit cela
FOREIGN = math.log(3e-5)  # une lettre que le français n’emploie pas, ou ailleurs
UPPERCASE = math.log(0.05)  # une majuscule accentuée, pour une minuscule
UNSEEN = 1e-5  # une lettre du français entre des voisins qu’il ne lui donne pas
_WORDS = {
    "français": "le la les l de des du d un une et est en que qu qui dans il elle je j tu nous "
    "vous ils on ne n pas ce c se s sa son ses mon ma mes par pour sur au aux avec plus mais comme "
    "tout si ou y a ont sont fait dit cette cet ces lui me m te t leur",
    "anglais": "the of and to in that it was for on are with as his they at this have from or had "
    "by not but what all were we when your can there an which she do how their if you he is a",
    "allemand": "der die das und ist nicht ein eine einen zu mit von den dem im auf sich auch es "
    "an er sie ich wird werden oder aus bei nach wie als für in",
}
FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
MIN_FUNCTION_WORDS = 0.25  # leur part dans un texte de cette langue ; un roman français : 0,45


class Context(NamedTuple):
    """Un signe et ses voisins, tels qu’un encodage les lit."""

    left: str
    char: str
    right: str


def language_of(sample: bytes) -> str | None:
    """« français », « anglais », « allemand » d’après les mots sans accent, « autre », ou None.

    None : trop peu de mots pour le dire.
    """
    words = re.findall(rb"(?<![\x80-\xff])\b[a-z]+\b(?![\x80-\xff])", sample.lower())
    if len(words) < 8:
        return None
    counts = {
        language: sum(word.decode() in known for word in words)
        for language, known in FUNCTION_WORDS.items()
    }
    best = max(counts, key=counts.get)
    return best if counts[best] >= MIN_FUNCTION_WORDS * len(words) else "autre"


@cache
def score(context: Context, french: bool) -> float:
    """Log-probabilité d’un signe entre ses voisins ; `FLOOR` si rien ne l’explique.

    `french` : faux pour un texte d’une autre langue, où les lettres du français n’ont pas
    d’avantage.
    """
    left, char, right = context
    if char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs"):
        return FLOOR
    if not char.isalpha() or char in "ªºƒ":
        return _sign_score(_kind(left), char, _kind(right))
    if not _fits(left, char, right):
        return FLOOR
    lower = char.lower()
    contexts = _letter_contexts().get(lower) if french else None
    if contexts is None:
        alone = not (left.isalpha() or right.isalpha())
        return FOREIGN - 5 * alone - 3 * (lower in "þðý") - 1.6 * char.isupper()
    seen = contexts.get(_fold(left) + _fold(right), 0)
    alone = not (left.isalpha() or right.isalpha())
    return (
        math.log(seen / 1e6 if seen else UNSEEN)
        - 5 * (alone and not seen)
        + (UPPERCASE if char != lower else 0)
    )


def is_seen(context: Context) -> bool:
    """Vrai si le français place cette lettre entre ces voisins."""
    seen = _letter_contexts().get(context.char.lower(), {})
    return _fold(context.left) + _fold(context.right) in seen and _fits(*context)


@cache
def _letter_contexts() -> dict[str, dict[str, int]]:
    """Pour chaque lettre, ce que compte `french_letters.json` : « ct3895 » se lit c_t, 3 895."""
    lines = json.loads((Path(__file__).parent / "french_letters.json").read_text("utf-8"))
    return {
        letter: {item[:2].replace("_", " "): int(item[2:]) for item in line.split()}
        for letter, line in lines.items()
    }


def _fold(char: str) -> str:
    """La lettre sans accent ; une espace pour les blancs, « 0 » pour un chiffre, sinon « . »."""
    if char.isspace():
        return " "
    if char.isdigit():
        return "0"
    base = unicodedata.normalize("NFD", char.lower().replace("œ", "o").replace("æ", "a"))[0]
    return base if "a" <= base <= "z" else "."


def _kind(char: str) -> str:
    folded = _fold(char)
    return "a" if char.isalpha() and char not in "ªº" else folded


def _fits(left: str, char: str, right: str) -> bool:
    """Un seul alphabet, et des majuscules à leur place : ni « ŽtŽ », ni « LÉoN »."""
    alphabets = {_alphabet(c) for c in (left, char, right) if c.isalpha() and c not in "ªº"}
    if len(alphabets) > 1:
        return False
    if char.isupper():
        return not left.islower() and not (left.isupper() and right.islower())
    return not (left.isupper() and right.isupper())


def _alphabet(char: str) -> str:
    return unicodedata.name(char, "?").split()[0]


# Les places ordinaires d’un signe, (voisin de gauche, voisin de droite) : « a » une lettre, « 0 »
# un chiffre, « . » un autre signe, « espace » un blanc ou le bord du texte ; et leur probabilité.
_PLACES = {
    "’": {"aa": 1e-2, "a ": 1e-4, " a": 1e-4, "a.": 1e-3, ".a": 1e-4, "0 ": 1e-5, ". ": 1e-4},
    "‘": {" a": 1e-3, ".a": 1e-3, " 0": 1e-4},
    "“": {" a": 1e-3, ".a": 1e-3, " 0": 1e-4, " .": 1e-4, ". ": 1e-5},
    "”": {"a ": 1e-3, ". ": 1e-3, "a.": 1e-3, "..": 1e-3, "0 ": 1e-4, "0.": 1e-4},
    "«": {"  ": 1e-2, " a": 1e-2, ". ": 1e-3, ".a": 1e-3, " .": 1e-3, " 0": 1e-4, "a ": 1e-5},
    "»": {"  ": 1e-2, " .": 1e-2, "a ": 1e-3, "a.": 1e-3, ". ": 1e-2, "..": 1e-3, "0 ": 1e-4},
    "…": {
        "a ": 1e-2,
        "a.": 1e-3,
        "  ": 1e-3,
        " a": 1e-3,
        ". ": 1e-3,
        ".a": 1e-4,
        "0 ": 1e-4,
        ". .": 1e-3,
        "aa": 1e-5,
        " .": 1e-3,
        "..": 1e-3,
    },
    "—": {
        "  ": 1e-2,
        " a": 1e-2,
        "a ": 1e-3,
        ". ": 1e-3,
        ".a": 1e-4,
        "aa": 1e-4,
        " .": 1e-3,
        "a.": 1e-4,
        "..": 1e-4,
        "00": 1e-5,
    },
    "–": {
        "  ": 1e-3,
        " a": 1e-3,
        "a ": 1e-4,
        ". ": 1e-4,
        "aa": 1e-4,
        "00": 1e-3,
        " .": 1e-4,
        ".a": 1e-4,
    },
    "\u00a0": {
        "a.": 1e-2,
        ".a": 1e-2,
        "0.": 1e-3,
        "00": 1e-3,
        "0a": 1e-3,
        "..": 1e-3,
        "a ": 1e-5,
        ". ": 1e-4,
        " a": 1e-5,
        "aa": 1e-5,
        "  ": 1e-5,
        "a0": 1e-4,
        ".0": 1e-4,
        " .": 1e-4,
    },
    "°": {
        "0 ": 1e-4,
        "a ": 1e-4,
        "aa": 1e-5,
        " a": 1e-4,
        "0.": 1e-5,
        "00": 1e-5,
        "0a": 1e-5,
        "a.": 1e-5,
        "a0": 1e-4,
    },
    "½": {"0 ": 1e-4, "  ": 1e-4, "0.": 1e-5, " .": 1e-5, "0a": 1e-6},
    "²": {"a ": 1e-4, "a.": 1e-4, "0 ": 1e-5, "0.": 1e-5},
    "\u00ad": {"aa": 1e-5},
    "´": {"aa": 1e-6},
    "ﬁ": {"aa": 1e-6, " a": 1e-6},
}
_LIKE = {"³": "²", "¹": "²", "º": "°", "ª": "°", "¼": "½", "¾": "½"}
_COMMON = frozenset("€¤£§©®™•±×÷†‡‰·¡¿›‹„‚")
_RARE_SIGN, _COMMON_SIGN, _ELSEWHERE = math.log(1e-6), math.log(1e-4), math.log(1e-6)


def _sign_score(left: str, char: str, right: str) -> float:
    """Une ponctuation, un symbole : sa place ordinaire, ou rien entre deux lettres."""
    places = _PLACES.get(_LIKE.get(char, char))
    if places and (left_right := left[0] + right[0]) in places:
        return math.log(places[left_right])
    if left == "a" and right == "a":
        return FLOOR
    if places or char not in _COMMON:
        return _ELSEWHERE if char in _COMMON or places else _RARE_SIGN
    return _COMMON_SIGN
