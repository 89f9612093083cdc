"""Les couches linéaires d’un modèle : les trouver par leur nom, les remplacer, les envelopper."""

import fnmatch
from collections.abc import Sequence

from torch import Tensor, nn


class WrappedLinear(nn.Module):
    """Une couche linéaire `base`, enveloppée : ses poids et ses tailles se lisent comme avant."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base = base

    @property
    def weight(self) -> Tensor:
        """Les poids de la base, (N, K)."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """Le biais de la base, (N,)."""
        return self.base.bias

    @property
    def in_features(self) -> int:
        """Nombre d’entrées, K."""
        return self.base.in_features

    @property
    def out_features(self) -> int:
        """Nombre de sorties, N."""
        return self.base.out_features


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Les couches linéaires du modèle, enveloppées ou non, par nom.

    Ce qu’une enveloppe contient n’est pas une couche du modèle : elle n’y figure pas.
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | WrappedLinear)}
    inside = {
        id(part)
        for layer in found.values()
        if isinstance(layer, WrappedLinear)
        for part in layer.modules()
        if part is not layer
    }
    return {name: layer for name, layer in found.items() if id(layer) not in inside}


def find_targets(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Module]:
    """Les couches linéaires, enveloppées ou non, que désignent les cibles, par nom.

    ValueError si une cible n’en désigne aucune.
    """
    linears = linear_layers(model)
    for target in targets:
        if not any(_is_target(path, (target,)) for path in linears):
            raise ValueError(
                f"La cible « {target} » ne désigne aucune couche linéaire ; le modèle a par "
                f"exemple : {', '.join(list(linears)[:7])}."
            )
    return {path: layer for path, layer in linears.items() if _is_target(path, targets)}


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Met un module à la place d’un autre, d’après son nom."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _is_target(name: str, targets: Sequence[str]) -> bool:
    return any(name == t or name.endswith(f".{t}") or fnmatch.fnmatchcase(name, t) for t in targets)
