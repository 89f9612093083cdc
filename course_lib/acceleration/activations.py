"""Arrondir aussi les entrées : ce qu’y gagne le calcul, ce qu’y perd un vrai modèle.

Deux facteurs entiers se multiplient plus vite. Les poids s’arrondissent une fois ; les entrées, à
chaque appel, sur l’intervalle qu’elles occupent (quantification dynamique). Une seule entrée très
grande l’étire, et les autres s’écrasent sur quelques niveaux. Remède : garder sa colonne en fp32
(LLM.int8(), Dettmers et al. 2022, §3). Formes : … positions (B, T), K entrées, N sorties.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.acceleration.linear import QuantizedLinear, replace_linears
from course_lib.generation.readers import reading


def round_inputs(x: Tensor, per: str = "tensor", bits: int = 8) -> tuple[Tensor, Tensor]:
    """x ≈ entiers × échelle : entiers (…, K), tenus en fp32, et échelle (1,) ou (…, 1).

    Une échelle pour tout le tenseur (`per` « tensor ») ou par position (« token »). Les `bits` bits
    découpent l’intervalle de min(x, 0) à max(x, 0) en niveaux égaux, dont l’un vaut exactement 0.
    """
    flat = x.flatten() if per == "tensor" else x  # (…, K) → (P·K,)
    low = flat.amin(-1, keepdim=True).clamp(max=0.0)
    scale = (flat.amax(-1, keepdim=True).clamp(min=0.0) - low) / (2**bits - 1)
    scale = torch.where(scale == 0, 1, scale)  # des entrées toutes nulles
    zero = (-low / scale).round()  # le rang du niveau 0
    return ((x / scale).round() + zero).clamp(0, 2**bits - 1) - zero, scale


class DynamicLinear(nn.Module):
    """Couche linéaire aux poids sur 8 bits, une échelle par ligne, et aux entrées arrondies.

    `per`, `input_bits` : voir `round_inputs`. PyTorch prend « tensor » et 7 bits, car des sommes de
    produits d’octets déborderaient sur certains processeurs. `skip_outliers` : les colonnes
    d’entrée qui dépassent ce seuil en valeur absolue, dans cet appel, restent en fp32. Les entiers
    sont multipliés en fp32, sans erreur jusqu’à des sommes de 2²⁴ : on mesure ici la perte, non la
    vitesse. ValueError si un réglage est impossible.
    """

    def __init__(self, linear: QuantizedLinear, per="tensor", skip_outliers=None, input_bits=8):
        super().__init__()
        if per not in ("tensor", "token"):
            raise ValueError(f"per = {per!r} : une échelle par quoi ? 'tensor' ou 'token'.")
        if skip_outliers is not None and not skip_outliers > 0:
            raise ValueError(f"skip_outliers = {skip_outliers} : un seuil positif, ou None.")
        if input_bits not in range(2, 9):
            raise ValueError(f"input_bits = {input_bits} : il faut de 2 à 8 bits.")
        self.linear, self.per = linear, per
        self.skip_outliers, self.input_bits = skip_outliers, input_bits

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        if x.numel() == 0:
            return self.linear(x)
        weight, scales = self.linear.values.float(), self.linear.scales[:, 0]  # (N, K), (N,)
        y = 0.0 if self.linear.bias is None else self.linear.bias
        if self.skip_outliers is not None:
            outlier = x.abs().reshape(-1, x.shape[-1]).amax(0) > self.skip_outliers  # (K,)
            y = y + F.linear(x[..., outlier], weight[:, outlier]) * scales
            x = x.masked_fill(outlier, 0.0)
        levels, scale = round_inputs(x, self.per, self.input_bits)
        return y + F.linear(levels, weight) * (scale * scales)  # entiers, puis les deux échelles


def quantize_dynamically(
    model: nn.Module, per="tensor", skip_outliers: float | None = None, input_bits=8
) -> nn.Module:
    """Copie du modèle, en mode lecture, aux couches linéaires changées en `DynamicLinear`.

    Elle écrit avec reader=CachedReader : les noyaux numba n’arrondissent pas les entrées.
    """

    def convert(_: str, linear: nn.Linear) -> DynamicLinear:
        return DynamicLinear(QuantizedLinear.from_linear(linear), per, skip_outliers, input_bits)

    return replace_linears(model, convert)


@dataclass(frozen=True)
class ActivationRange:
    """Les entrées d’une couche. `maximum` : la plus grande valeur absolue, dans la colonne
    `column` ; `median` : la médiane des maximums des colonnes ; `ratio` : leur rapport.
    """

    name: str
    maximum: float
    median: float
    ratio: float
    column: int


def activation_ranges(model: nn.Module, batches: Iterable[Tensor]) -> list[ActivationRange]:
    """L’étendue des entrées de chaque `nn.Linear` qui en a lu ; `batches` : des ids (B, T)."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    peaks: dict[nn.Module, Tensor] = {}

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel():
            peak = inputs[0].abs().reshape(-1, layer.in_features).amax(0)  # (…, K) → (K,)
            peaks[layer] = torch.maximum(peak, peaks.get(layer, peak))

    handles = [layer.register_forward_pre_hook(watch) for layer in layers.values()]
    try:
        with reading(model):
            for ids in batches:
                model(ids)
    finally:
        for handle in handles:
            handle.remove()
    return [_describe(name, peaks[layer]) for name, layer in layers.items() if layer in peaks]


def _describe(name: str, peak: Tensor) -> ActivationRange:
    maximum, median = float(peak.max()), float(peak.median())
    ratio = maximum / median if median else float("inf")
    return ActivationRange(name, maximum, median, ratio, int(peak.argmax()))
