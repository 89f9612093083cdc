"""Reconnaître la langue d’un texte à ses suites de lettres.

Pour chaque langue, on compte les suites d’une à trois lettres d’un petit échantillon ; la langue
d’un texte est celle qui rend ses suites les plus probables. C’est un classifieur bayésien naïf aux
probabilités lissées par l’addition d’une constante. L’idée de reconnaître une langue à ses
n-grammes de caractères est de Cavnar et Trenkle (1994, « N-gram-based text categorization »).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Self

from course_lib.cleaning.language_samples import SAMPLES

MAX_ORDER = 3
SMOOTHING = 0.1
CACHED_WORDS = 100_000  # un mot déjà jugé ne l’est pas deux fois
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Identification:
    """La langue la plus probable et son avance sur la suivante, en nats par suite de lettres."""

    language: str
    margin: float


def letter_ngrams(text: str, max_order: int = MAX_ORDER) -> list[str]:
    """Les suites de 1 à `max_order` lettres de chaque mot, une espace marquant ses bords."""
    grams = []
    for word in _WORD.findall(text.lower()):
        padded = f" {word} "
        for order in range(1, max_order + 1):
            grams += [padded[i : i + order] for i in range(len(padded) - order + 1)]
    return [gram for gram in grams if gram != " "]


class LanguageIdentifier:
    """Un classifieur de langues ; `languages` les donne dans l’ordre."""

    def __init__(self, counts: Mapping[str, Counter[str]], smoothing: float = SMOOTHING):
        if len(counts) < 2:
            raise ValueError(f"Langues reçues : {list(counts)}. Il en faut au moins deux.")
        if smoothing <= 0:
            raise ValueError(f"smoothing = {smoothing} : donnez un nombre strictement positif.")
        self.languages = tuple(counts)
        known = set().union(*counts.values())
        self._log_probs, self._unseen = {}, {}
        for language, grams in counts.items():
            total = sum(grams.values()) + smoothing * (len(known) + 1)
            self._unseen[language] = math.log(smoothing / total)
            self._log_probs[language] = {
                gram: math.log((count + smoothing) / total) for gram, count in grams.items()
            }
        self._judge = lru_cache(CACHED_WORDS)(self._judge_word)

    @classmethod
    def train(cls, samples: Mapping[str, str], smoothing: float = SMOOTHING) -> Self:
        """Apprend de textes : un par langue."""
        counts = {language: Counter(letter_ngrams(text)) for language, text in samples.items()}
        return cls(counts, smoothing)

    def scores(self, text: str) -> dict[str, float]:
        """Log-probabilité moyenne, en nats par suite de lettres, du texte dans chaque langue.

        Erreur : ValueError si le texte n’a pas de lettre.
        """
        words = Counter(_WORD.findall(text.lower()))
        if not words:
            raise ValueError(f"Texte reçu : {text[:40]!r}. Il faut au moins une lettre.")
        n_grams, totals = 0, [0.0] * len(self.languages)
        for word, count in words.items():
            size, sums = self._judge(word)
            n_grams += count * size
            totals = [total + count * one for total, one in zip(totals, sums, strict=True)]
        return {
            language: total / n_grams
            for language, total in zip(self.languages, totals, strict=True)
        }

    def _judge_word(self, word: str) -> tuple[int, tuple[float, ...]]:
        """Le nombre de suites d’un mot et, par langue, la somme de leurs log-probabilités."""
        grams = letter_ngrams(word)
        return len(grams), tuple(
            sum(table.get(gram, self._unseen[language]) for gram in grams)
            for language, table in self._log_probs.items()
        )

    def identify(self, text: str) -> Identification:
        """La langue d’un texte et son avance ; ValueError si le texte n’a pas de lettre."""
        ranked = sorted(self.scores(text).items(), key=lambda item: -item[1])
        return Identification(ranked[0][0], ranked[0][1] - ranked[1][1])


@cache
def default_identifier() -> LanguageIdentifier:
    """Le classifieur appris sur les échantillons du cours : fr, en, es, de, it."""
    return LanguageIdentifier.train(SAMPLES)
