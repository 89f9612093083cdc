"""DPO : préférer une réponse à une autre, sans modèle de récompense ni tirage.

    perte = −log σ( β [ (log π(y⁺) − log π₀(y⁺)) − (log π(y⁻) − log π₀(y⁻)) ] )

π est le modèle que l’on entraîne, π₀ sa référence, gelée. La perte ne demande pas que la réponse
préférée devienne probable : seulement qu’elle gagne, sur la rejetée, plus que dans la référence.
Source : Rafailov et al. 2023, arXiv:2305.18290, équation 7.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.preferences.sequences import (
    check_reference,
    reference_log_probs,
    target_log_probs,
)


def dpo_loss(gain_chosen: Tensor, gain_rejected: Tensor, beta: float = 0.1) -> Tensor:
    """La perte de chaque paire, (B,).

    `gain_…` (B,) : log π(y) − log π₀(y), sommé sur les jetons de la réponse. `beta` : plus il est
    grand, plus le modèle reste près de sa référence.
    """
    return -F.logsigmoid(beta * (gain_chosen - gain_rejected))


class DPOLoss:
    """Une perte pour `train(modèle, PreferenceBatches(…), config, loss=DPOLoss(référence))`.

    `reference` : une copie du modèle de départ. ValueError si `beta` n’est pas positif, si la
    référence est le modèle lui-même ou n’a pas son vocabulaire.
    """

    def __init__(self, reference: nn.Module, beta: float = 0.1):
        if not beta > 0:
            raise ValueError(
                f"beta = {beta} : il faut un nombre positif. À 0, aucune paire n’apprend rien."
            )
        self.reference, self.beta = reference, beta

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """Lot de `PreferenceBatches` → (perte moyenne par paire, nombre de paires)."""
        check_reference(model, self.reference)
        chosen, rejected = batch[:2], batch[2:]
        loss = dpo_loss(self._gain(model, *chosen), self._gain(model, *rejected), self.beta)
        return loss.mean(), len(loss)

    def _gain(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        ours = target_log_probs(model, inputs, targets)
        return (ours - reference_log_probs(self.reference, inputs, targets)).sum(1)  # (B,)
