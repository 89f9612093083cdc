"""Le bloc du Transformer, et les réseaux qui le composent.

`nn.LayerNorm` vient de PyTorch ; `RMSNorm` est dans `normalization`.
Formes : B phrases, T jetons, S jetons de la source, D = d_model, F = d_ff.
"""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.transformer.attention import Attention
from course_lib.transformer.cache import BlockCache
from course_lib.transformer.positions import Rope

ACTIVATIONS = {
    "relu": nn.ReLU,  # Transformer de 2017
    "gelu": nn.GELU,  # BERT, forme exacte
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),  # GPT-2, forme approchée
}


class FeedForward(nn.Module):
    """Réseau appliqué à chaque position : W2 · f(W1 · x). Source : Vaswani et al. 2017, §3.3."""

    def __init__(self, d_model: int, d_ff: int, activation: str = "relu", bias: bool = True):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation = {activation!r} est inconnue : choisissez parmi "
                f"{', '.join(ACTIVATIONS)}."
            )
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.activation = ACTIVATIONS[activation]()
        self.down = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down(self.activation(self.up(x)))  # (B, T, D) → (B, T, F) → (B, T, D)


class SwiGLU(nn.Module):
    """Réseau à porte : W2 · (silu(Wg · x) × W1 · x), sans biais. Source : Shazeer 2020."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Un étage du Transformer : lire les autres, (lire la source,) puis réfléchir seul.

        norm_first=False (2017)             norm_first=True (GPT-2, Llama)

        x ─┬─ sous-couche ─ + ─ norme →     x ─┬─ norme ─ sous-couche ─ + →
           └────────────────┘                  └────────────────────────┘

    Le même bloc sert à l’encodeur et au décodeur : seul le second reçoit `cross_attention`.
    `make_norm()` fabrique la normalisation de chaque sous-couche.
    """

    def __init__(
        self,
        self_attention: Attention,
        feed_forward: nn.Module,
        make_norm: Callable[[], nn.Module],
        *,
        cross_attention: Attention | None = None,
        norm_first: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.dropout = nn.Dropout(dropout)
        self.self_attention = self_attention
        self.self_attention_norm = make_norm()
        self.cross_attention = cross_attention
        self.cross_attention_norm = make_norm() if cross_attention is not None else None
        self.feed_forward = feed_forward
        self.feed_forward_norm = make_norm()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B S D"] | None = None,
        *,
        mask: Bool[Tensor, "..."] | None = None,
        is_causal: bool = False,
        memory_mask: Bool[Tensor, "..."] | None = None,
        rope: Rope | None = None,
        cache: BlockCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """`mask` vaut pour l’attention propre, `memory_mask` pour l’attention croisée."""
        self._check_memory(memory)

        own = cache.self_attention if cache is not None else None
        x = self._residual(
            x,
            lambda h: self.self_attention(h, mask=mask, is_causal=is_causal, rope=rope, cache=own),
            self.self_attention_norm,
        )
        if self.cross_attention is not None:
            read = cache.cross_attention if cache is not None else None
            x = self._residual(
                x,
                lambda h: self.cross_attention(h, memory, mask=memory_mask, cache=read),
                self.cross_attention_norm,
            )
        return self._residual(x, self.feed_forward, self.feed_forward_norm)

    def _check_memory(self, memory: Tensor | None) -> None:
        if self.cross_attention is not None and memory is None:
            raise ValueError(
                "Ce bloc a une attention croisée et ne reçoit rien à lire : donnez memory, la "
                "sortie de l’encodeur."
            )
        if self.cross_attention is None and memory is not None:
            raise ValueError(
                "Ce bloc n’a pas d’attention croisée : memory serait ignorée. Retirez-la, ou "
                "bâtissez le bloc avec cross_attention."
            )

    def _residual(self, x: Tensor, sublayer: Callable, norm: nn.Module) -> Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))
