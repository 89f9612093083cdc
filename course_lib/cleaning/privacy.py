"""Les données personnelles : les reconnaître à leur forme, les masquer.

Quatre formes sont reconnues : courriel, téléphone français, compte bancaire (IBAN français),
adresse postale. Un compte est masqué même si sa clé est fausse : mieux vaut cacher un numéro pour
rien que d’en publier un vrai. Ce que ces règles manquent : les noms, une adresse électronique
déguisée (« nom (arobase) site (point) org »), un numéro écrit en lettres, une adresse sans code
postal.
"""

from __future__ import annotations

import re

_WAYS = "rue|avenue|place|impasse|chemin|boulevard|allée|quai|route|cours|square"
_RULES = (
    ("courriel", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
    ("compte", r"\bFR\d{2}(?:[ ]?[0-9A-Z]{4}){5}[ ]?[0-9A-Z]{3}\b"),
    ("téléphone", r"(?<![\d.])(?:\+33[ .]?|0)[1-9](?:[ .-]?\d{2}){4}(?!\d)"),
    (
        "adresse",
        rf"\b\d{{1,4}}(?: bis| ter)?,? (?:{_WAYS})\b[^\n,.;@]{{2,40}}, \d{{5}}(?: [A-ZÀ-Ý][\w-]+)+",
    ),
)
_PATTERN = re.compile("|".join(f"(?P<k{i}>{rule})" for i, (_, rule) in enumerate(_RULES)))
KINDS = tuple(name for name, _ in _RULES)


def mask(text: str) -> str:
    """Remplace chaque donnée personnelle par sa sorte : « [courriel] », « [téléphone] »…"""
    return _PATTERN.sub(lambda match: f"[{KINDS[int(match.lastgroup[1:])]}]", text)


def valid_iban(account: str) -> bool:
    """Vrai si la clé d’un IBAN est juste : le nombre qu’il forme vaut 1 modulo 97 (ISO 13616)."""
    compact = account.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[0-9A-Z]{11,30}", compact):
        return False
    digits = "".join(str(int(char, 36)) for char in compact[4:] + compact[:4])
    return int(digits) % 97 == 1
