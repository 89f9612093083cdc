"""La contamination : retrouver, dans un corpus d’apprentissage, des morceaux du jeu de test.

On cherche les suites de treize mots qu’une page partage avec un texte de test (GPT-3, Brown et al.,
2020, annexe C). Une seule suite commune ne prouve rien quand les textes se ressemblent : deux
histoires finissent souvent par les mêmes mots. On demande donc qu’une page couvre une part du
texte de test. Une paraphrase qui change un mot sur douze passe au travers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from course_lib.cleaning.minhash import ShingleHasher

NGRAM_SIZE = 13
MIN_COVERAGE = 0.15


class ContaminationIndex:
    """Les suites de `n` mots d’un jeu de test, prêtes à être cherchées.

    Un texte de test de moins de `n` mots compte pour une seule suite, lui-même : il n’est reconnu
    que dans une page identique.
    """

    def __init__(self, test_texts: Sequence[str], n: int = NGRAM_SIZE):
        self._hasher = ShingleHasher(n)
        self._owners: dict[int, list[int]] = defaultdict(list)
        self._sizes = []
        for rank, text in enumerate(test_texts):
            grams = set(self._hasher(text).tolist())
            self._sizes.append(len(grams))
            for gram in grams:
                self._owners[gram].append(rank)

    def coverage(self, text: str) -> tuple[int | None, float]:
        """(rang du texte de test le mieux couvert, part couverte) ; (None, 0) sans rien de commun.

        La part est entre 0 et 1 ; à égalité, le premier texte de test l’emporte.
        """
        hits = Counter(
            owner
            for gram in set(self._hasher(text).tolist())
            for owner in self._owners.get(gram, ())
        )
        if not hits:
            return None, 0.0
        best = max(hits, key=lambda rank: (hits[rank] / self._sizes[rank], -rank))
        return best, hits[best] / self._sizes[best]
