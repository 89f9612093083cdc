"""La normalisation par la moyenne quadratique, avec son gradient écrit à la main.

    y = x / √(moyenne(x²) + ε) × w

Celle de PyTorch enchaîne sur un processeur une dizaine de petites opérations, à l’aller comme au
retour. Le gradient tient pourtant en une ligne : avec n = x r et r = 1 / √(moyenne(x²) + ε),

    ∂L/∂x = r (g w − n · moyenne(g w n))          où g = ∂L/∂y
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from course_lib.transformer.precision import full_precision, widened


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = widened(x)  # sur 16 bits, la somme des carrés déborderait
        with full_precision(x):
            mean_square = torch.linalg.vecdot(wide, wide).div_(x.shape[-1])  # (B, T)
        scale = mean_square.add_(eps).rsqrt_().unsqueeze(-1)  # (B, T, 1)
        normed = wide * scale
        ctx.save_for_backward(normed, scale, weight)
        return (normed * widened(weight)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        wide, gain = widened(gradient), widened(weight)
        by_weight = wide * normed  # (B, T, D)
        with full_precision(wide):
            mean = by_weight @ gain / weight.numel()  # (B, T)
        slope = (wide * gain).addcmul_(normed, mean.unsqueeze(-1), value=-1).mul_(scale)
        gain_slope = by_weight.reshape(-1, weight.numel()).sum(0)
        return slope.to(gradient.dtype), gain_slope.to(weight.dtype), None


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm` sur la dernière dimension, deux à trois fois plus rapide à entraîner.

    Mêmes poids, mêmes résultats ; une seule dérivation. La sortie a le type de l’entrée ; sur
    16 bits, le calcul se fait en simple précision. Source : Zhang et Sennrich 2019, éq. 4.
    """

    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__(d_model, eps)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return _RMSNorm.apply(x, self.weight, self.eps)
