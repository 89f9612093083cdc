"""Le noyau des grammaires : tirages qui comptent leur probabilité, morphologie du français.

Deux garanties tiennent tout le micro-monde. Chaque choix au hasard passe par `Draw`, qui ajoute
son logarithme de probabilité : la loi du corpus est donc connue exactement. Chaque élision,
contraction ou accord passe par les fonctions de ce module : la règle n’est écrite qu’une fois.
L’apostrophe des textes est celle du clavier ('), pour qu’une amorce tapée à la main convienne.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

T = TypeVar("T")

VOWELS = frozenset("aeiouyàâäéèêëîïôöùûüœæ")

# Devant un h aspiré, rien ne s’élide : le hibou, la harpe. Devant un h muet : l'horloge.
# Aucune règle ne les distingue : chaque mot en h doit figurer dans l’une de ces deux listes.
ASPIRATED_H = frozenset(
    [
        "hache",
        "haie",
        "hamac",
        "hameau",
        "hangar",
        "haricot",
        "harpe",
        "haut",
        "hérisson",
        "héron",
        "héros",
        "hibou",
        "homard",
        "hotte",
        "huche",
        "hutte",
    ]
)
MUTE_H = frozenset(
    [
        "habit",
        "habiter",
        "harmonica",
        "herbe",
        "heure",
        "heureux",
        "heureuse",
        "histoire",
        "hiver",
        "homme",
        "horloge",
        "hôtel",
        "huile",
        "huître",
        "hirondelle",
    ]
)
# « y » ne s’élide que rarement (l'yeuse) : le yacht, le yaourt, la yourte.
NO_ELISION = frozenset(["yacht", "yaourt", "yourte", "onze", "oui"])


class Draw:
    """Tire au hasard et accumule dans `log_prob` (en nats) la probabilité des choix faits."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self.log_prob = 0.0

    def choice(self, options: Sequence[T], exclude: T | None = None) -> T:
        """Tire uniformément une option, autre que `exclude` si elle est donnée.

        Erreur : ValueError s’il ne reste rien à tirer.
        """
        if exclude is not None:
            options = [option for option in options if option != exclude]
        if not options:
            raise ValueError("Tirage impossible : aucune option ne reste. Donnez-en au moins une.")
        self.log_prob -= math.log(len(options))
        return options[self._index(len(options))]

    def chance(self, probability: float) -> bool:
        """Répond vrai avec la probabilité donnée, strictement comprise entre 0 et 1."""
        if not 0.0 < probability < 1.0:
            raise ValueError(
                f"Probabilité reçue : {probability}. Donnez un nombre strictement entre 0 et 1."
            )
        outcome = self._coin(probability)
        self.log_prob += math.log(probability if outcome else 1.0 - probability)
        return outcome

    def _index(self, n_options: int) -> int:
        return int(self._random.random() * n_options)

    def _coin(self, probability: float) -> bool:
        return self._random.random() < probability


@dataclass(frozen=True, slots=True)
class Noun:
    """Un nom et son genre, « m » ou « f »."""

    form: str
    gender: str

    def __post_init__(self) -> None:
        if self.gender not in ("m", "f"):
            raise ValueError(
                f"Genre reçu pour « {self.form} » : {self.gender!r}. Écrivez « m » ou « f »."
            )


@dataclass(frozen=True, slots=True)
class Adjective:
    """Un adjectif, par ses deux formes."""

    masculine: str
    feminine: str

    def agree(self, gender: str) -> str:
        """La forme qui convient à un nom de ce genre."""
        return self.feminine if gender == "f" else self.masculine


@cache
def elides(phrase: str) -> bool:
    """Vrai si le premier mot fait élider celui qui le précède (voyelle ou h muet).

    Erreur : ValueError si le mot commence par un h dont la nature n’est pas connue.
    """
    first = phrase.split()[0].lower()
    if first in ASPIRATED_H or first in NO_ELISION:
        return False
    if first[0] == "h" and first not in MUTE_H:
        raise ValueError(
            f"Mot reçu : « {first} ». Son h est-il aspiré ou muet ? "
            "Ajoutez-le à ASPIRATED_H ou à MUTE_H."
        )
    return first[0] in VOWELS or first[0] == "h"


@cache
def elide(word: str, following: str) -> str:
    """Colle un mot élidable (le, la, de, que, se, ne…) à la suite : « de », « Anna » → « d'Anna ».

    Erreur : ValueError si le premier mot n’est pas de ceux qui s’élident.
    """
    if word.split()[-1] not in ("le", "la", "de", "que", "se", "ne", "me", "te", "je", "jusque"):
        raise ValueError(
            f"Mot reçu : « {word} ». Seuls le, la, de, que, se, ne, me, te, je s’élident."
        )
    return f"{word[:-1]}'{following}" if elides(following) else f"{word} {following}"


@cache
def the(noun: Noun) -> str:
    """Article défini et nom : « la clé », « le hibou », « l'horloge »."""
    return elide("la" if noun.gender == "f" else "le", noun.form)


@cache
def a(noun: Noun) -> str:
    """Article indéfini et nom : « une clé », « un hibou »."""
    return ("une " if noun.gender == "f" else "un ") + noun.form


@cache
def of_the(noun: Noun) -> str:
    """« De » et l’article, contractés : « de la clé », « du hibou », « de l'horloge »."""
    if noun.gender == "m" and not elides(noun.form):
        return f"du {noun.form}"
    return f"de {the(noun)}"


@cache
def to_the(noun: Noun) -> str:
    """« À » et l’article, contractés : « à la clé », « au hibou », « à l'horloge »."""
    if noun.gender == "m" and not elides(noun.form):
        return f"au {noun.form}"
    return f"à {the(noun)}"


@cache
def possessive(noun: Noun) -> str:
    """« Son » ou « sa » et le nom : « sa clé », mais « son auberge » pour éviter l’hiatus."""
    feminine = noun.gender == "f" and not elides(noun.form)
    return ("sa " if feminine else "son ") + noun.form


def subject_pronoun(gender: str) -> str:
    """« elle » ou « il »."""
    return "elle" if gender == "f" else "il"


def object_pronoun(gender: str, verb: str) -> str:
    """Pronom complément et verbe : « la cacha », « le rangea », « l'oublia »."""
    return elide("la" if gender == "f" else "le", verb)


def participle(masculine: str, gender: str) -> str:
    """Accorde un participe passé : « caché » → « cachée », « mis » → « mise »."""
    return masculine + "e" if gender == "f" else masculine


def capitalize(text: str) -> str:
    """Met une majuscule au premier caractère sans toucher aux autres (les noms propres restent)."""
    return text[:1].upper() + text[1:]
