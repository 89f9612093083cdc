"""Les n-grammes de Kneser-Ney interpolés : le modèle de langage d’avant les réseaux.

Un n-gramme prédit le jeton suivant d’après les n − 1 précédents, en comptant. Notons c les
comptes, h le contexte, h′ ce contexte privé de son premier jeton, D la remise et N₁₊(h·) le
nombre de jetons différents vus après h :

    p(w | h) = max(c(h w) − D, 0) / c(h) + D · N₁₊(h·) / c(h) · p(w | h′)

Aux ordres inférieurs, le compte d’un n-gramme est le nombre de jetons différents qui le
précèdent (Kneser et Ney, 1995) : « Francisco » est fréquent, mais ne suit guère que « San ».
Sous l’ordre 1 se trouve la loi uniforme : toute probabilité est strictement positive.
La remise vient des comptes : D = n₁ / (n₁ + 2 n₂), où n₁ et n₂ sont les nombres de n-grammes
comptés une et deux fois (Chen et Goodman, 1999, « An empirical study of smoothing techniques
for language modeling », doi:10.1006/csla.1999.0128, équations 17 et 22).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class _Level:
    """Les n-grammes d’un ordre, triés par clé = contexte · vocab_size + jeton."""

    context_keys: np.ndarray  # (C,) clé du contexte : contexte plus court · vocab_size + jeton
    entry_keys: np.ndarray  # (E,)
    counts: np.ndarray  # (E,)
    starts: np.ndarray  # (C + 1,) les n-grammes du contexte i sont starts[i]:starts[i + 1]
    totals: np.ndarray  # (C,) somme des comptes du contexte
    discount: float


class KneserNeyModel:
    """Modèle n-gramme d’ordre `order` (contexte de `order` − 1 jetons) sur `vocab_size` jetons.

    Le début d’une suite est précédé de jetons `bos_id` ; ne les mettez pas vous-même.
    `discount` (entre 0 et 1, exclus) fixe la remise ; None l’estime à chaque ordre.
    """

    def __init__(self, order: int, vocab_size: int, bos_id: int = 1, discount: float | None = None):
        if order < 1:
            raise ValueError(f"order={order} : l’ordre d’un n-gramme est au moins 1.")
        if vocab_size < 1:
            raise ValueError(f"vocab_size={vocab_size} : il faut au moins un jeton.")
        if not 0 <= bos_id < vocab_size:
            raise ValueError(f"bos_id={bos_id} doit être compris entre 0 et {vocab_size - 1}.")
        if discount is not None and not 0 < discount < 1:
            raise ValueError(f"discount={discount} doit être strictement entre 0 et 1.")
        self.order, self.vocab_size, self.bos_id = order, vocab_size, bos_id
        self.discount = discount
        self._levels: list[_Level] = []

    def fit(self, sequences: Iterable[Sequence[int]]) -> Self:
        """Compte les n-grammes des suites d’ids (une suite par texte) et renvoie le modèle."""
        padded, targets = self._pad(sequences)
        if not len(targets):
            raise ValueError("Aucun jeton à compter : donnez au moins une suite non vide.")
        contexts = np.zeros(len(targets), dtype=np.int64)
        context_keys, parents = [np.zeros(1, dtype=np.int64)], []
        for k in range(1, self.order):
            keys, contexts = np.unique(
                contexts * self.vocab_size + padded[targets - k], return_inverse=True
            )
            context_keys.append(keys)
            parents.append(keys // self.vocab_size)
        entries, counts = np.unique(
            contexts * self.vocab_size + padded[targets], return_counts=True
        )
        levels = [self._level(context_keys[-1], entries, counts)]
        for keys, parent in zip(context_keys[-2::-1], parents[::-1], strict=True):
            context, word = np.divmod(entries, self.vocab_size)
            # Chaque entrée de l’ordre supérieur est un prédécesseur différent : on les compte.
            entries, counts = np.unique(
                parent[context] * self.vocab_size + word, return_counts=True
            )
            levels.append(self._level(keys, entries, counts))
        self._levels = levels[::-1]
        return self

    @property
    def n_entries(self) -> int:
        """Nombre de n-grammes gardés en mémoire, tous ordres confondus."""
        return sum(len(level.entry_keys) for level in self._levels)

    @property
    def discounts(self) -> list[float]:
        """La remise de chaque ordre, du plus court au plus long."""
        return [level.discount for level in self._levels]

    def next_distribution(self, context: Sequence[int]) -> np.ndarray:
        """Probabilités (vocab_size,) du jeton qui suit `context` ; leur somme vaut 1."""
        self._check_fitted()
        padded, _ = self._pad([context])
        probabilities = np.full(self.vocab_size, 1 / self.vocab_size)
        context_id = 0
        for k, level in enumerate(self._levels):
            if k:
                key = context_id * self.vocab_size + padded[-k]
                context_id = int(np.searchsorted(level.context_keys, key))
                if context_id == len(level.context_keys) or level.context_keys[context_id] != key:
                    break  # contexte jamais vu, donc inconnu aussi des ordres supérieurs
            start, end = level.starts[context_id : context_id + 2]
            total = level.totals[context_id]
            probabilities *= level.discount * (end - start) / total
            words = level.entry_keys[start:end] % self.vocab_size
            probabilities[words] += (level.counts[start:end] - level.discount) / total
        return probabilities

    def log_probs(self, sequence: Sequence[int]) -> np.ndarray:
        """Log-probabilité (T,), en nats, de chaque jeton sachant ceux qui le précèdent."""
        return self._log_probs([sequence])

    def perplexity(self, sequences: Iterable[Sequence[int]]) -> float:
        """Exponentielle de la perte moyenne par jeton sur toutes les suites."""
        log_probs = self._log_probs(sequences)
        if not len(log_probs):
            raise ValueError("Aucun jeton à évaluer : donnez au moins une suite non vide.")
        return float(np.exp(-log_probs.mean()))

    def _log_probs(self, sequences: Iterable[Sequence[int]]) -> np.ndarray:
        self._check_fitted()
        padded, targets = self._pad(sequences)
        words = padded[targets]
        probabilities = np.full(len(targets), 1 / self.vocab_size)
        active = np.arange(len(targets))  # positions dont le contexte est encore connu
        contexts = np.zeros(len(targets), dtype=np.int64)
        for k, level in enumerate(self._levels):
            if k:
                keys = contexts * self.vocab_size + padded[targets[active] - k]
                contexts, known = _find(level.context_keys, keys)
                active, contexts = active[known], contexts[known]
            entries, seen = _find(level.entry_keys, contexts * self.vocab_size + words[active])
            n_types = level.starts[contexts + 1] - level.starts[contexts]
            kept = np.where(seen, level.counts[entries] - level.discount, 0.0)
            backoff = level.discount * n_types * probabilities[active]
            probabilities[active] = (kept + backoff) / level.totals[contexts]
        return np.log(probabilities)

    def _level(self, context_keys: np.ndarray, entries: np.ndarray, counts: np.ndarray) -> _Level:
        bounds = np.arange(len(context_keys) + 1) * self.vocab_size
        starts = np.searchsorted(entries, bounds)
        totals = np.add.reduceat(counts, starts[:-1])
        once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
        discount = self.discount
        if discount is None:
            # Sans n-gramme vu une ou deux fois, la formule donnerait 0 ou 1 : on prend le milieu.
            discount = once / (once + 2 * twice) if once and twice else 0.5
        return _Level(context_keys, entries, counts, starts, totals, float(discount))

    def _pad(self, sequences: Iterable[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Met bout à bout les suites, chacune précédée de `order` − 1 bos.

        Renvoie les ids (N,) et les positions (T,) des jetons à prédire.
        """
        bos = np.full(self.order - 1, self.bos_id, dtype=np.int64)
        pieces: list[np.ndarray] = []
        lengths: list[int] = []
        for sequence in sequences:
            ids = np.asarray(sequence)
            if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
                raise TypeError(
                    f"Une suite est une liste d’ids entiers ; reçu un tableau de forme "
                    f"{ids.shape} et de type {ids.dtype}."
                )
            pieces += [bos, ids.astype(np.int64)]
            lengths.append(len(ids))
        padded = np.concatenate(pieces) if pieces else bos
        if padded.size and not 0 <= padded.min() <= padded.max() < self.vocab_size:
            raise ValueError(
                f"Les ids doivent être compris entre 0 et {self.vocab_size - 1} ; "
                f"reçu de {padded.min()} à {padded.max()}."
            )
        n_bos = np.repeat(np.arange(1, len(lengths) + 1), lengths) * (self.order - 1)
        return padded, np.arange(len(n_bos)) + n_bos

    def _check_fitted(self) -> None:
        if not self._levels:
            raise ValueError("Le modèle n’a encore rien compté : appelez d’abord fit(sequences).")


def _find(sorted_keys: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place de chaque clé dans le tableau trié, et masque des clés qui s’y trouvent."""
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return places, sorted_keys[places] == keys
