"""Des lots qui apportent les réponses de l’enseignant : on apprend sans lui."""

from collections.abc import Iterator

import torch
from torch import Tensor

from course_lib.distillation.teacher_cache import TeacherCache, row_keys
from course_lib.training.data import IGNORE


class DistillationBatches:
    """Les lots d’une source, dans le même ordre, avec les réponses gardées de l’enseignant.

    Lot = (entrées (B, T), cibles (B, T), log-probabilités (B, T, V)) ; celles-ci sont nulles là où
    il n’y a pas de cible. `source` : celle qui a servi à écrire le cache, ou une autre faite des
    mêmes lignes (autre graine, autre taille de lot).
    """

    def __init__(self, source, cache: TeacherCache):
        self.source, self.cache = source, cache
        self._rank = {key: rank for rank, key in enumerate(cache.keys)}

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Le lot du pas ; ValueError si une de ses lignes n’est pas dans le cache."""
        return self._with_advice(*self.source.batch(step))

    def in_order(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Chaque ligne une fois, dans l’ordre de la source."""
        for inputs, targets in self.source.in_order():
            yield self._with_advice(inputs, targets)

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ces données : la source et le cache."""
        return {"source": self.source.fingerprint(), "cache": self.cache.fingerprint()}

    def _with_advice(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys = row_keys(inputs, targets)
        unknown = [rank for rank, key in enumerate(keys) if key not in self._rank]
        if unknown:
            raise ValueError(
                f"La ligne {unknown[0]} du lot n’est pas dans le cache « {self.cache.path} » : il "
                "est d’autres données. TokenStream, qui redécoupe son texte à chaque époque, ne "
                "convient pas : prenez des lignes fixes (SequenceBatches)."
            )
        log_probs = torch.zeros(*targets.shape, self.cache.vocab_size)  # (B, T, V)
        kept = targets.cpu() != IGNORE  # le cache se lit sur le processeur
        log_probs[kept] = self.cache.log_probs([self._rank[key] for key in keys])
        return inputs, targets, log_probs
