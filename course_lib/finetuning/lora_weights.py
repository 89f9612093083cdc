"""Les nombres d’un adaptateur LoRA sur une couche, et ses réglages ; voir `lora`.

Formes : N sorties, K entrées, r rang.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class LoRAConfig:
    """Rang, échelle, oubli, couches visées.

    `targets` : fins de noms de couches (« query », « blocks.0.self_attention.value ») ou motifs
    (« *.feed_forward.* »). `rank_stabilized` : échelle alpha / √r au lieu de alpha / r.
    `magnitude` : DoRA, qui apprend à part la norme de chaque ligne (Liu et al. 2024).
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("query", "value")
    rank_stabilized: bool = False
    magnitude: bool = False

    def __post_init__(self):
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"rank = {self.rank!r} : il faut un entier d’au moins 1.")
        if not (_is_number(self.alpha) and 0 < self.alpha < math.inf):
            raise ValueError(
                f"alpha = {self.alpha!r} : il faut un nombre positif, souvent 2 × rank."
            )
        if not (_is_number(self.dropout) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout = {self.dropout!r} : il faut un taux dans [0, 1[.")
        if isinstance(self.targets, str) or not self.targets:
            raise ValueError(f"targets = {self.targets!r} : donnez une suite de noms de couches.")

    @property
    def scale(self) -> float:
        """Le facteur de la correction."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class LoRAWeights(nn.Module):
    """Les deux petites matrices d’un adaptateur, pour une couche ; avec DoRA, les normes m.

    DoRA : W' = m · (W + ΔW) / ‖W + ΔW‖       m (N,), norme de chaque ligne, ‖W‖ au départ
    """

    def __init__(self, linear: nn.Linear, config: LoRAConfig):
        super().__init__()
        like = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.config = config
        self.a = nn.Parameter(torch.empty(config.rank, linear.in_features, **like))
        self.b = nn.Parameter(torch.zeros(linear.out_features, config.rank, **like))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.magnitude = nn.Parameter(_row_norms(linear.weight)) if config.magnitude else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """La correction : (…, K) → (…, r) → (…, N)."""
        return F.linear(F.linear(self.dropout(x), self.a), self.b) * self.config.scale

    def product(self) -> Tensor:
        """La correction de la matrice elle-même, (N, K)."""
        return self.config.scale * (self.b @ self.a)

    def correct(self, y: Tensor, x: Tensor, linear: nn.Linear) -> Tensor:
        """Les sorties y (…, N) de la couche pour les entrées x (…, K), corrigées."""
        if self.magnitude is None:
            return y + self(x)
        ratio = self._ratio(linear.weight)
        straight = y if linear.bias is None else y - linear.bias
        return y + (ratio - 1) * straight + ratio * self(x)

    def correct_weight(self, weight: Tensor) -> Tensor:
        """La matrice de la couche, (N, K), corrigée."""
        check_matrix(weight)
        corrected = weight + self.product()
        return corrected if self.magnitude is None else self._ratio(weight)[:, None] * corrected

    def _ratio(self, weight: Tensor) -> Tensor:
        """m / ‖W + ΔW‖, (N,) ; pour le gradient, la norme est une constante (§4.3)."""
        check_matrix(weight)
        with torch.no_grad():
            norm = (weight + self.product()).norm(dim=1)
        return self.magnitude / norm


def _row_norms(weight: Tensor) -> Tensor:
    return weight.detach().norm(dim=1)  # (N,)


def check_matrix(weight: object) -> None:
    """ValueError si ces poids sont quantifiés : on ne corrige pas ce qui est arrondi."""
    if not isinstance(weight, Tensor):
        raise ValueError(
            "Cette couche est quantifiée : elle n’a plus de matrice à corriger. Avant de "
            "quantifier, fondez l’adaptateur (merge_adapter, puis detach_adapters(model, "
            "keep_merged=True))."
        )
