"""Des paires de réponses à une même consigne : celle que l’on préfère, celle que l’on rejette."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from course_lib.finetuning.examples import aligned_rows
from course_lib.training.data import IGNORE, RowBatches


@dataclass(frozen=True)
class Preference:
    """Les ids d’une consigne et de deux réponses, jeton de fin compris."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


class PreferenceBatches(RowBatches):
    """Lot = (entrées et cibles de la préférée, entrées et cibles de la rejetée).

    Quatre tenseurs : (B, T) deux fois, puis (B, T′) deux fois ; les cibles valent −100 sur la
    consigne et au remplissage. ValueError si une consigne ou une réponse est vide, si les deux
    réponses sont la même, ou s’il n’y a aucune paire.
    """

    def __init__(
        self, pairs: Sequence[Preference], batch_size: int, seed: int = 0, pad_id: int = 0
    ):
        for rank, pair in enumerate(pairs):
            if list(pair.chosen) == list(pair.rejected):
                raise ValueError(
                    f"La paire n° {rank} a deux fois la même réponse : elle ne dit rien de ce que "
                    "l’on préfère. Ôtez-la."
                )
        better = aligned_rows([(pair.prompt, pair.chosen) for pair in pairs])
        worse = aligned_rows([(pair.prompt, pair.rejected) for pair in pairs])
        super().__init__([*better, *worse], batch_size, seed)
        self.pad_id = pad_id

    def _collate(self, indices) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        paddings = (self.pad_id, IGNORE, self.pad_id, IGNORE)
        return tuple(self._column(i, indices, padding) for i, padding in enumerate(paddings))
