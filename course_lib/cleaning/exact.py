"""Les doublons exacts : une empreinte du texte normalisé, un seul passage.

Deux pages sont le même texte si elles ont les mêmes mots dans le même ordre, à la casse, aux
espaces, à la ponctuation et à la forme des apostrophes près. On ne compare jamais deux pages :
on range des empreintes de 16 octets, en temps linéaire. Un seul mot de différence suffit en
revanche à tromper le procédé : c’est l’affaire de `minhash`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Les mots d’un texte en minuscules, sans ponctuation, Unicode normalisé (NFKC)."""
    return WORD.findall(unicodedata.normalize("NFKC", text).lower())


def fingerprint(text: str) -> bytes:
    """Empreinte BLAKE2b (16 octets) des mots d’un texte."""
    return blake2b(" ".join(words_of(text)).encode("utf-8"), digest_size=16).digest()


def exact_duplicates(texts: Iterable[str]) -> list[int]:
    """Pour chaque texte, le rang du premier qui lui est identique ; le sien s’il est nouveau."""
    first: dict[bytes, int] = {}
    return [first.setdefault(fingerprint(text), rank) for rank, text in enumerate(texts)]
