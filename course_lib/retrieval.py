"""Chercher un passage : BM25, la formule des moteurs de recherche d’avant les réseaux.

Un texte vaut pour une question par les mots qu’ils partagent. Un mot rare vaut plus qu’un mot
courant ; répété, il vaut de moins en moins ; dans un texte long, il vaut moins que dans un court.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence


def words_of(text: str) -> list[str]:
    """Les mots d’un texte, en minuscules, sans la ponctuation."""
    return re.findall(r"\w+", text.lower())


class BM25:
    """Le classement de textes pour une question. Source : Robertson et Zaragoza 2009, §3.

    k1, b : ce que vaut un mot répété, et ce que coûte la longueur. Un mot que plus de la moitié
    des textes contiennent ne compte pas. ValueError s’il n’y a aucun texte, ou aucun mot.
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.5, b: float = 0.75):
        self.counts = [Counter(words_of(text)) for text in texts]
        self.lengths = [count.total() for count in self.counts]
        if not sum(self.lengths):
            raise ValueError(
                f"{len(self.lengths)} texte et aucun mot : il faut au moins un texte à chercher."
            )
        self.mean_length = sum(self.lengths) / len(self.lengths)
        self.k1, self.b = k1, b

    def weight(self, word: str) -> float:
        """Ce que vaut un mot : d’autant plus que peu de textes le contiennent."""
        n = sum(word in count for count in self.counts)
        return max(0.0, math.log((len(self.counts) - n + 0.5) / (n + 0.5)))

    def scores(self, question: str) -> list[float]:
        """La note de chaque texte : la somme, sur les mots de la question, de ce qu’ils valent."""
        weights = [(word, self.weight(word)) for word in words_of(question)]
        notes = []
        for count, length in zip(self.counts, self.lengths, strict=True):
            brake = self.k1 * (1 - self.b + self.b * length / self.mean_length)
            notes.append(sum(w * count[m] * (self.k1 + 1) / (count[m] + brake) for m, w in weights))
        return notes

    def best(self, question: str, n: int = 1) -> list[int]:
        """Les rangs des `n` meilleurs textes, du meilleur au moins bon ; à égalité, le premier.

        ValueError si `n` n’est pas entre 1 et le nombre de textes.
        """
        if not 1 <= n <= len(self.counts):
            raise ValueError(f"n = {n} : demandez de 1 à {len(self.counts)} textes.")
        notes = self.scores(question)
        return sorted(range(len(notes)), key=lambda rank: -notes[rank])[:n]
