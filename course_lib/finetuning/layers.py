"""Les modules qu’on ajoute à un modèle, et les couches linéaires où on les pose."""

import fnmatch
from collections.abc import Sequence

from torch import Tensor, nn

_TRAINED = "_trained_before_additions"  # les noms des paramètres qui s’entraînaient


class Wrapper(nn.Module):
    """Un module `base` du modèle, gelé, et ce qu’on lui ajoute, dans `adapters`."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base = base

    def unwrapped(self) -> nn.Module:
        """Un module ordinaire qui calcule la même chose ; ValueError s’il n’y en a pas."""
        raise NotImplementedError


class WrappedLinear(Wrapper):
    """Une couche linéaire enveloppée : ses poids et ses tailles se lisent comme avant."""

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
    linears = {path: layer for path, layer in linear_layers(model).items() if path}
    for target in targets:
        if not any(_is_target(path, (target,)) for path in linears):
            raise ValueError(
                f"La cible « {target} » ne désigne aucune couche linéaire ; le modèle a par "
                f"exemple : {', '.join(list(linears)[:7])}."
            )
    return {path: layer for path, layer in linears.items() if _is_target(path, targets)}


def freeze_base(model: nn.Module) -> None:
    """Gèle le modèle avant d’y ajouter quelque chose, et note ce qui s’entraînait."""
    if not hasattr(model, _TRAINED):
        named = model.named_parameters(remove_duplicate=False)
        setattr(model, _TRAINED, {name for name, p in named if p.requires_grad})
    model.requires_grad_(False)


def restore_base(model: nn.Module) -> None:
    """Quand le dernier ajout est retiré : s’entraîne ce qui s’entraînait, et rien d’autre."""
    if not hasattr(model, _TRAINED) or any(isinstance(m, Wrapper) for m in model.modules()):
        return
    trained = model.__dict__.pop(_TRAINED)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(name in trained)


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Met un module à la place d’un autre, d’après son nom."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _is_target(name: str, targets: Sequence[str]) -> bool:
    return any(name == t or name.endswith(f".{t}") or fnmatch.fnmatchcase(name, t) for t in targets)
