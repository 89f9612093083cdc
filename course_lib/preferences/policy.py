"""GRPO : écrire plusieurs textes, les faire noter, pencher vers les mieux notés du groupe.

    avantage = (note − moyenne du groupe) / écart-type du groupe
    perte    = −moyenne( min(r·A, borné(r)·A) − β·KL ),   r = π(jeton) / π_tirage(jeton)

Les autres textes du groupe servent de repère : il n’y a pas de critique à entraîner. L’écart à la
référence est l’estimateur positif e^d − d − 1, d = log π₀ − log π (Schulman, 2020).
Source : Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300, équations 3 et 4.
"""

import torch
from torch import Tensor, nn

from course_lib.preferences.sequences import (
    check_reference,
    reference_log_probs,
    target_log_probs,
)
from course_lib.training.data import IGNORE

EPSILON = 1e-4  # un groupe dont toutes les notes sont égales a des avantages nuls


def group_advantages(rewards: Tensor) -> Tensor:
    """L’avantage de chaque texte, (G, K), d’après les notes (G, K) de G groupes de K textes.

    ValueError si un groupe n’a qu’un texte : il n’aurait à qui se comparer.
    """
    if rewards.dim() != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"Notes de forme {tuple(rewards.shape)} : il faut (groupes, textes), et au moins deux "
            "textes par groupe."
        )
    deviation = rewards - rewards.mean(dim=1, keepdim=True)
    return deviation / (rewards.std(dim=1, keepdim=True) + EPSILON)


def grpo_loss(
    log_probs: Tensor,
    drawn_log_probs: Tensor,
    reference: Tensor | None,
    advantages: Tensor,
    written: Tensor,
    beta: float = 0.0,
    clip: float = 0.2,
) -> Tensor:
    """La perte moyenne d’un lot : par jeton dans un texte, puis par texte.

    `log_probs`, `drawn_log_probs`, `reference` (B, T) : log p de chaque jeton écrit, selon le
    modèle, au moment du tirage, selon la référence (inutile si beta = 0) ; `advantages` (B,) ;
    `written` (B, T) : vrai sur les jetons écrits. `clip` : au-delà de 1 ± clip, le rapport des
    probabilités n’apprend plus rien.
    """
    ratio = (log_probs - drawn_log_probs).exp()
    gains = advantages[:, None]
    objective = torch.min(ratio * gains, ratio.clamp(1 - clip, 1 + clip) * gains)
    if beta:
        drift = reference - log_probs
        objective = objective - beta * (drift.exp() - drift - 1)
    lengths = written.sum(1).clamp(min=1)
    return -((objective * written).sum(1) / lengths).mean()


class GRPOLoss:
    """Une perte pour `train(modèle, RewardedTexts(…), config, loss=GRPOLoss(référence))`.

    Les textes d’un lot ne servent qu’une fois : ils ont été tirés du modèle tel qu’il est, et le
    rapport des probabilités y vaut 1 ; son gradient, lui, n’est pas nul. ValueError si `beta` est
    négatif, ou s’il est positif sans référence.
    """

    def __init__(self, reference: nn.Module | None = None, beta: float = 0.0, clip: float = 0.2):
        if beta < 0:
            raise ValueError(f"beta = {beta} : il faut un nombre positif ou nul.")
        if beta and reference is None:
            raise ValueError(
                f"beta = {beta} retient le modèle près d’une référence : donnez-la, ou beta = 0."
            )
        self.reference, self.beta, self.clip = reference, beta, clip

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """Lot = (entrées (B, T), cibles (B, T), avantages (B,)) → (perte, nombre de textes)."""
        inputs, targets, advantages = batch
        ours = target_log_probs(model, inputs, targets)
        reference = None
        if self.beta:
            check_reference(model, self.reference)
            reference = reference_log_probs(self.reference, inputs, targets)
        loss = grpo_loss(
            ours, ours.detach(), reference, advantages, targets != IGNORE, self.beta, self.clip
        )
        return loss, len(inputs)
