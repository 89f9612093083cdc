"""Mélange d’experts : beaucoup de réseaux, dont chaque jeton n’en traverse que quelques-uns.

Le modèle grossit sans que le calcul d’un jeton grossisse autant. Formes : D = d_model, E experts,
K experts actifs par jeton, N jetons du lot mis bout à bout.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.transformer.precision import widened


def check_experts(n_experts: int, n_active: int) -> None:
    """Vérifie que l’on active au moins un expert et au plus tous."""
    if not 1 <= n_active <= n_experts:
        raise ValueError(
            f"n_active = {n_active} pour n_experts = {n_experts} : chaque jeton traverse au moins "
            "un expert et au plus tous. Choisissez 1 ≤ n_active ≤ n_experts."
        )


class MixtureOfExperts(nn.Module):
    """Somme des `n_active` experts que le routeur préfère, pesés par ses probabilités.

    `make_expert()` fabrique un réseau (B, T, D) → (B, T, D), `FeedForward` ou `SwiGLU`.
    `renormalize` : les poids des experts retenus sont ramenés à une somme de 1 (Mixtral) ; sans
    cela, un expert seul garde sa probabilité, par où le routeur apprend (Switch).
    Sources : Fedus et al. 2021, équations 1 et 2 ; Jiang et al. 2024, §2.1.
    """

    def __init__(
        self,
        d_model: int,
        make_expert: Callable[[], nn.Module],
        n_experts: int,
        n_active: int,
        renormalize: bool = True,
    ):
        super().__init__()
        check_experts(n_experts, n_active)
        self.n_active = n_active
        self.renormalize = renormalize
        self.router = nn.Linear(d_model, n_experts, bias=False)
        self.experts = nn.ModuleList(make_expert() for _ in range(n_experts))

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        tokens = x.flatten(0, -2)  # (B, T, D) → (N, D)
        weights, choices = self.route(tokens)
        output = torch.zeros_like(tokens)
        for i, expert in enumerate(self.experts):
            rows, ranks = torch.where(choices == i)
            if len(rows):  # un expert que personne n’a choisi ne calcule rien
                share = expert(tokens[rows][None])[0] * weights[rows, ranks, None]
                output = output.index_add(0, rows, share)
        return output.view_as(x)

    def route(
        self, tokens: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, "N K"], Int[Tensor, "N K"]]:
        """Poids et numéros des experts retenus pour chaque jeton, du préféré au dernier."""
        probabilities = widened(self.router(tokens)).softmax(dim=-1)  # (N, E)
        weights, choices = probabilities.topk(self.n_active, dim=-1)
        if self.renormalize:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights.to(tokens.dtype), choices
