"""LoRA : apprendre, à côté d’une matrice gelée W, une correction de petit rang.

    y = W x + (alpha / r) · B A x        A (r, K) tirée au sort, B (N, r) nulle au départ

Au départ B A = 0 : le modèle est la base. Seules A et B s’entraînent, soit r (K + N) nombres au
lieu de K N. La correction s’enlève, s’ajoute à W (« fusion »), ou cohabite avec d’autres.
Source : Hu et al. 2021 ; « rang stabilisé », Kalajdzievski 2023 : alpha / √r.
Formes : N sorties, K entrées, r rang.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.finetuning.layers import WrappedLinear, find_targets, replace_module

DEFAULT_NAME = "default"


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
        if self.alpha <= 0:
            raise ValueError(f"alpha = {self.alpha} : il faut un nombre positif, souvent 2 × rank.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout} : il faut un taux dans [0, 1[.")
        if isinstance(self.targets, str) or not self.targets:
            raise ValueError(f"targets = {self.targets!r} : donnez une suite de noms de couches.")

    @property
    def scale(self) -> float:
        """Le facteur de la correction."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


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
        norm = linear.weight.detach().norm(dim=1)  # (N,)
        self.magnitude = nn.Parameter(norm) if config.magnitude else None
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
        corrected = weight + self.product()
        return corrected if self.magnitude is None else self._ratio(weight)[:, None] * corrected

    def _ratio(self, weight: Tensor) -> Tensor:
        """m / ‖W + ΔW‖, (N,) ; pour le gradient, la norme est une constante (§4.3)."""
        with torch.no_grad():
            norm = (weight + self.product()).norm(dim=1)
        return self.magnitude / norm


class LoRALinear(WrappedLinear):
    """Une couche linéaire gelée et ses adaptateurs ; `active` est celui qui sert, ou None.

    `merged` : l’adaptateur fondu dans les poids ; la base est gardée à part, pour être rendue au
    bit près.
    """

    def __init__(self, base: nn.Linear):
        super().__init__(base)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.merged: str | None = None
        self._original: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        y = self.base(x)
        if self.active is None or self.merged is not None:
            return y
        return self.adapters[self.active].correct(y, x, self.base)

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Met la correction dans les poids : la couche calcule aussi vite que sans adaptateur."""
        self._original = self.base.weight.detach().clone()
        self.base.weight.copy_(self.adapters[name].correct_weight(self.base.weight))
        self.merged = name

    @torch.no_grad()
    def unmerge(self) -> None:
        """Rend les poids de la base, au bit près."""
        if self.merged is not None:
            self.base.weight.copy_(self._original)
            self._original, self.merged = None, None


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """Les couches qui portent des adaptateurs, par nom."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


def adapter_names(model: nn.Module) -> list[str]:
    """Les noms des adaptateurs du modèle."""
    return list(dict.fromkeys(n for layer in lora_layers(model).values() for n in layer.adapters))


def attach_lora(
    model: nn.Module, config: LoRAConfig, name: str = DEFAULT_NAME, seed: int = 0
) -> list[str]:
    """Pose un adaptateur sur les couches visées et gèle tout le reste ; rend leurs noms.

    Plusieurs adaptateurs peuvent être posés sur une même base, sous des noms différents ; le
    dernier posé est actif et seul à s’entraîner. ValueError si une cible ne désigne aucune couche
    linéaire ou en désigne une qui porte un goulot, si le nom est pris, si un adaptateur est fondu.
    """
    if not name or "." in name:
        raise ValueError(f"Nom d’adaptateur {name!r} : il en faut un, et sans point.")
    if name in adapter_names(model):
        raise ValueError(f"L’adaptateur « {name} » existe déjà : choisissez un autre nom.")
    _check_not_merged(model)
    chosen = find_targets(model, config.targets)
    for path, layer in chosen.items():
        if not isinstance(layer, nn.Linear | LoRALinear):
            raise ValueError(
                f"« {path} » est un {type(layer).__name__}, et LoRA n’adapte qu’une couche "
                "linéaire : retirez d’abord cette enveloppe, ou visez d’autres couches."
            )
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for path, layer in chosen.items():
            if isinstance(layer, nn.Linear):
                layer = LoRALinear(layer)
                layer.train(model.training)
                replace_module(model, path, layer)
            layer.adapters[name] = LoRAWeights(layer.base, config)
    activate_adapter(model, name)
    return list(chosen)


def activate_adapter(model: nn.Module, name: str | None) -> None:
    """Fait servir (et s’entraîner) cet adaptateur, et lui seul ; None : la base nue."""
    _check_known(model, name)
    _check_not_merged(model)
    for layer in lora_layers(model).values():
        layer.active = name if name in layer.adapters else None
        for other, weights in layer.adapters.items():
            weights.requires_grad_(other == name)


def merge_adapter(model: nn.Module, name: str = DEFAULT_NAME) -> None:
    """Fond l’adaptateur dans les poids de la base : mêmes sorties, aucun calcul de plus."""
    _check_known(model, name)
    _check_not_merged(model)
    for layer in lora_layers(model).values():
        if name in layer.adapters:
            layer.merge(name)


def unmerge_adapters(model: nn.Module) -> None:
    """Rend la base au bit près ; sans effet si rien n’est fondu."""
    for layer in lora_layers(model).values():
        layer.unmerge()


def detach_adapters(model: nn.Module, keep_merged: bool = False) -> nn.Module:
    """Retire tous les adaptateurs : le modèle retrouve ses couches d’origine, au bit près.

    `keep_merged` : garde dans les poids l’adaptateur qui y est fondu, pour exporter le modèle
    affiné comme un modèle ordinaire. Rend le modèle, gelé.
    """
    for path, layer in lora_layers(model).items():
        if not keep_merged:
            layer.unmerge()
        replace_module(model, path, layer.base)
    return model


def _check_known(model: nn.Module, name: str | None) -> None:
    known = adapter_names(model)
    if name is not None and name not in known:
        listed = ", ".join(known) or "aucun"
        raise ValueError(f"Adaptateur inconnu : « {name} ». Ceux du modèle : {listed}.")


def _check_not_merged(model: nn.Module) -> None:
    merged = {layer.merged for layer in lora_layers(model).values()} - {None}
    if merged:
        raise ValueError(
            f"L’adaptateur « {min(merged)} » est fondu dans les poids : appelez d’abord "
            "unmerge_adapters(model)."
        )
