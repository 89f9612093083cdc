"""Données partagées : chaque processus a tout le modèle et une part de chaque lot.

        lot ──┬── part 0 ── modèle ── gradient 0 ──┐
              │                                    + ── le même gradient, le même pas pour tous
              └── part 1 ── modèle ── gradient 1 ──┘

Soit nᵣ les jetons de la part r et gᵣ le gradient de sa perte moyenne. Le gradient du lot entier est
Σ nᵣ gᵣ / Σ nᵣ. La simple moyenne des gᵣ n’est juste que si toutes les parts ont autant de jetons.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from course_lib.parallel.gradients import BUCKET_BYTES, sum_gradients
from course_lib.parallel.team import Team
from course_lib.training.workers import Share, add_up


class DataParallel(Team):
    """Chaque processus garde tout le modèle ; les gradients sont additionnés à chaque pas."""

    def __init__(self, bucket_bytes: int = BUCKET_BYTES):
        super().__init__()
        self.bucket_bytes = bucket_bytes

    def backward(
        self, parts: Sequence[Share], parameters: Sequence[nn.Parameter]
    ) -> tuple[Tensor, int]:
        """Pose dans `parameters` le gradient du lot global ; rend sa perte et ses jetons.

        Un paramètre qui n’a servi à personne (un expert que nul jeton n’a choisi) reste sans
        gradient, comme dans un processus seul. Une part sans cible n’apporte rien.
        """
        share, n_tokens = add_up(parts)
        served = (float(parameter.grad is not None) for parameter in parameters)
        n_total, loss_sum, *uses = self.total(n_tokens, share.item(), *served)
        if not n_total:
            return loss_sum, 0
        used = [parameter for parameter, n in zip(parameters, uses, strict=True) if n]
        sum_gradients(used, 1 / n_total.item(), self.bucket_bytes)
        return loss_sum / n_total, int(n_total)
