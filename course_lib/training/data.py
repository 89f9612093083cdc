"""Les sources de données : le lot d’un pas est une fonction pure de la graine et du numéro du pas.

Rien n’est à mémoriser pour reprendre un entraînement : la position dans les données est le
numéro du pas. Chaque source offre `batch(step)` pour apprendre, `in_order()` pour évaluer (chaque
exemple une fois, dans l’ordre) et `fingerprint()`, qui permet de refuser une reprise sur d’autres
données.
"""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

_CHECKED_AT_ONCE = 1 << 20  # jetons : l’empreinte d’un long texte ne le recopie pas en entier
IGNORE = -100  # cible que la perte ignore : la convention de torch.nn.functional.cross_entropy


class BatchSource(Protocol):
    """Ce que `train` et `evaluate_loss` attendent de leurs données."""

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Le lot du pas `step`, sur le processeur : il ne dépend que de la graine et du pas."""

    def in_order(self) -> Iterator[tuple[Tensor, ...]]:
        """Chaque exemple une fois, dans l’ordre."""

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ces données, pour refuser une reprise sur d’autres."""


class _EpochOrder:
    """Ordre de visite de `n_items` exemples, retiré à chaque époque sans remise.

    Avec la remise, un tiers des exemples d’une époque ne serait jamais vu ; sans elle, aucun
    n’est négligé.
    """

    def __init__(self, n_items: int, batch_size: int, seed: int):
        if batch_size < 1:
            raise ValueError(f"batch_size = {batch_size} est impossible : il faut au moins 1.")
        self.n_items, self.batch_size, self.seed = n_items, min(batch_size, n_items), seed
        self._epoch, self._order, self._shift = -1, torch.empty(0, dtype=torch.long), 0

    def indices(self, step: int, max_shift: int = 0) -> tuple[Tensor, int]:
        """Indices (B,) des exemples du pas, et le décalage de l’époque, dans [0, max_shift]."""
        epoch, position = divmod(step, self.n_items // self.batch_size)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order = torch.randperm(self.n_items, generator=generator)
            self._shift = int(torch.randint(max_shift + 1, (), generator=generator))
            self._epoch = epoch
        start = position * self.batch_size
        return self._order[start : start + self.batch_size], self._shift


class TokenStream:
    """Un texte continu, découpé en fenêtres : lot = (entrées, cibles), deux tenseurs (B, T).

    Les fenêtres ne se recouvrent pas ; leur découpage se décale au hasard à chaque époque, pour
    qu’un jeton ne soit pas toujours vu au même rang. `ids` : une liste, un tableau NumPy ou un
    tenseur d’entiers, projeté d’un fichier ou non : il reste où il est, et seuls les lots sont
    convertis en entiers de 64 bits. Un texte court n’emplit pas un grand lot : `tokens_per_step`
    dit ce qu’un pas lit en vérité.
    """

    def __init__(self, ids, context_length: int, batch_size: int, seed: int = 0):
        self.ids = _as_ids(ids)
        if self.ids.dim() != 1 or len(self.ids) < 2:
            raise ValueError(
                f"Le texte compte {self.ids.numel()} jeton(s) : il en faut au moins 2, "
                "un lu et un à prédire. Donnez un texte plus long."
            )
        if context_length < 1:
            raise ValueError(f"context_length = {context_length} est impossible : au moins 1.")
        self.context_length, self.batch_size, self.seed = context_length, batch_size, seed
        # Une fenêtre de moins que possible : la place laissée permet le décalage.
        n_windows = (len(self.ids) - 1) // context_length
        n_windows = n_windows - 1 if n_windows > 1 else n_windows
        self._slack = len(self.ids) - 1 - n_windows * context_length
        self._order = _EpochOrder(n_windows, batch_size, seed) if n_windows else None

    @property
    def rows_per_step(self) -> int:
        """Fenêtres d’un lot : `batch_size`, ou toutes celles du texte s’il en compte moins."""
        return self._order.batch_size if self._order else 0

    @property
    def tokens_per_step(self) -> int:
        """Jetons que lit un pas."""
        return self.rows_per_step * self.context_length

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """(entrées, cibles) du pas, (B, T) ; ValueError si le texte n’emplit pas une fenêtre."""
        if self._order is None:
            raise ValueError(
                f"Le texte compte {len(self.ids)} jetons : il en faut au moins "
                f"{self.context_length + 1} pour un contexte de {self.context_length}. "
                "Donnez un texte plus long ou réduisez context_length."
            )
        indices, shift = self._order.indices(step, self._slack)
        windows = self.ids.unfold(0, self.context_length + 1, 1)  # (N - T, T + 1), sans copie
        rows = windows[indices * self.context_length + shift].long()  # (B, T + 1)
        return rows[:, :-1], rows[:, 1:]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Fenêtres successives : chaque jeton, sauf le premier, y est cible une seule fois."""
        length = self.context_length
        n_full = (len(self.ids) - 1) // length
        inputs = self.ids[: n_full * length].view(n_full, length)
        targets = self.ids[1 : n_full * length + 1].view(n_full, length)
        for start in range(0, n_full, self.batch_size):
            stop = start + self.batch_size
            yield inputs[start:stop].long(), targets[start:stop].long()
        if n_full * length < len(self.ids) - 1:  # la dernière fenêtre, plus courte
            rest = self.ids[n_full * length :].long()
            yield rest[None, :-1], rest[None, 1:]

    def fingerprint(self) -> dict:
        return {
            "source": "TokenStream",
            "n_tokens": len(self.ids),
            "checksum": _checksum(*self.ids.split(_CHECKED_AT_ONCE)),
            "context_length": self.context_length,
            "batch_size": self.batch_size,
            "data_seed": self.seed,
        }


class RowBatches:
    """Ce que partagent les sources faites d’exemples séparés.

    `columns` : pour chaque tenseur du lot, une ligne par exemple. Une sous-classe dit comment les
    réunir : `_collate(indices)`.
    """

    def __init__(self, columns: Sequence[Sequence[Sequence[int]]], batch_size: int, seed: int):
        if not columns[0]:
            raise ValueError("Aucun exemple : il faut au moins une ligne de données.")
        self._columns = [[torch.tensor(row, dtype=torch.long) for row in rows] for rows in columns]
        self.batch_size, self.seed = batch_size, seed
        self._order = _EpochOrder(len(columns[0]), batch_size, seed)

    def __len__(self) -> int:
        return len(self._columns[0])

    def batch(self, step: int):
        """Le lot du pas `step`, complété jusqu’à son exemple le plus long."""
        return self._collate(self._order.indices(step)[0].tolist())

    def in_order(self) -> Iterator:
        """Chaque exemple une fois, dans l’ordre donné."""
        for start in range(0, len(self), self.batch_size):
            yield self._collate(range(start, min(start + self.batch_size, len(self))))

    def fingerprint(self) -> dict:
        return {
            "source": type(self).__name__,
            "n_rows": len(self),
            "checksum": _checksum(*(row for rows in self._columns for row in rows)),
            "batch_size": self.batch_size,
            "data_seed": self.seed,
        }

    def _column(self, column: int, indices, padding: int) -> Tensor:
        rows = [self._columns[column][i] for i in indices]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)


class SequenceBatches(RowBatches):
    """Une suite par ligne (une histoire) : lot = (entrées, cibles), (B, T) tous deux.

    L’entrée est « bos x₁ … xₙ », la cible « x₁ … xₙ eos », avec −100 au remplissage.
    """

    def __init__(self, rows, batch_size: int, seed: int = 0, pad_id=0, bos_id=1, eos_id=2):
        inputs = [[bos_id, *row] for row in rows]
        targets = [[*row, eos_id] for row in rows]
        super().__init__([inputs, targets], batch_size, seed)
        self.pad_id = pad_id

    def _collate(self, indices) -> tuple[Tensor, Tensor]:
        return self._column(0, indices, self.pad_id), self._column(1, indices, IGNORE)


class PairBatches(RowBatches):
    """Des paires source → cible : lot = (source, entrée du décodeur, sortie attendue).

    La source (B, S) est prise telle quelle ; l’entrée est « bos y₁ … yₙ », la sortie
    « y₁ … yₙ eos », de forme (B, T), avec −100 au remplissage.
    """

    def __init__(
        self, sources, targets, batch_size: int, seed: int = 0, pad_id=0, bos_id=1, eos_id=2
    ):
        _check_same_count(sources, targets)
        before = [[bos_id, *row] for row in targets]
        after = [[*row, eos_id] for row in targets]
        super().__init__([sources, before, after], batch_size, seed)
        self.pad_id = pad_id

    def _collate(self, indices) -> tuple[Tensor, Tensor, Tensor]:
        pad = self.pad_id
        return (
            self._column(0, indices, pad),
            self._column(1, indices, pad),
            self._column(2, indices, IGNORE),
        )


class AlignedBatches(RowBatches):
    """Une étiquette par jeton (glose, jeton masqué) : lot = (entrées, cibles), (B, T) tous deux.

    Les cibles peuvent contenir −100 aux positions qui ne comptent pas.
    """

    def __init__(self, inputs, targets, batch_size: int, seed: int = 0, pad_id=0):
        _check_same_count(inputs, targets)
        for i, (row, labels) in enumerate(zip(inputs, targets, strict=True)):
            if len(row) != len(labels):
                raise ValueError(
                    f"La ligne {i} compte {len(row)} jetons et {len(labels)} étiquettes : "
                    "il faut une étiquette par jeton."
                )
        super().__init__([inputs, targets], batch_size, seed)
        self.pad_id = pad_id

    def _collate(self, indices) -> tuple[Tensor, Tensor]:
        return self._column(0, indices, self.pad_id), self._column(1, indices, IGNORE)


def _check_same_count(first, second) -> None:
    if len(first) != len(second):
        raise ValueError(
            f"{len(first)} sources pour {len(second)} cibles : il en faut autant des deux."
        )


def _checksum(*tensors: Tensor) -> int:
    """Une empreinte des ids, la même quel que soit le type d’entier qui les garde."""
    value = 0
    for tensor in tensors:
        value = zlib.crc32(tensor.long().cpu().numpy(), value)
    return value


def _as_ids(ids) -> Tensor:
    """Un tenseur d’ids : sans copie pour un tenseur ou un tableau d’entiers, de 64 bits sinon."""
    if isinstance(ids, np.ndarray) and ids.dtype in (np.int16, np.int32, np.int64):
        with warnings.catch_warnings():  # un fichier projeté en lecture seule : on n’y écrit rien
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(ids)
    values = ids if isinstance(ids, Tensor) else torch.as_tensor(ids)
    if values.is_floating_point() and values.numel():
        raise TypeError(
            f"Un jeton est un entier ; reçu {float(values.flatten()[0]):g} ({values.dtype}). "
            "Donnez les ids que rend un tokeniseur."
        )
    return values if values.dtype in (torch.int16, torch.int32) else values.long()
