"""Les adaptateurs en goulot : un petit réseau ajouté après chaque sous-couche.

    h = y + W2 · f(W1 · y)        W1 (w, N), W2 (N, w) nulle au départ

À la différence de LoRA, ils ne se fondent pas dans les poids : le modèle affiné garde un calcul de
plus. Source : Houlsby et al. 2019. Formes : N sorties, w largeur du goulot.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.finetuning.layers import (
    WrappedLinear,
    find_targets,
    freeze_base,
    replace_module,
    restore_base,
)

TARGETS = ("self_attention.output", "feed_forward.down")


class BottleneckLinear(WrappedLinear):
    """Une couche gelée suivie de son goulot."""

    def __init__(self, base: nn.Linear, width: int):
        super().__init__(base)
        like = {"dtype": base.weight.dtype, "device": base.weight.device}
        n_outputs = base.out_features
        self.adapters = nn.ModuleList(
            [nn.Linear(n_outputs, width, **like), nn.Linear(width, n_outputs, **like)]
        )
        nn.init.zeros_(self.adapters[1].weight)
        nn.init.zeros_(self.adapters[1].bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        y = self.base(x)
        down, up = self.adapters
        return y + up(F.gelu(down(y)))

    def unwrapped(self) -> nn.Module:
        """Toujours ValueError : un goulot est un calcul de plus."""
        raise ValueError(
            "Un goulot ne se fond pas dans les poids : un modèle ordinaire ne peut pas l’avoir. "
            "Retirez-le (detach_bottlenecks), ou affinez avec LoRA (attach_lora)."
        )


def attach_bottleneck(
    model: nn.Module, width: int = 8, targets: tuple[str, ...] = TARGETS, seed: int = 0
) -> list[str]:
    """Gèle le modèle et ajoute un goulot après les couches visées ; rend leurs noms.

    ValueError si `width` n’est pas positif, si une cible ne désigne aucune couche linéaire, ou si
    une couche a déjà un goulot.
    """
    if type(width) is not int or width < 1:
        raise ValueError(f"width = {width!r} : il faut un entier d’au moins 1.")
    chosen = find_targets(model, targets)
    for path, layer in chosen.items():
        if isinstance(layer, BottleneckLinear):
            raise ValueError(f"« {path} » a déjà un goulot : retirez-le (detach_bottlenecks).")
    freeze_base(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for path, linear in chosen.items():
            replace_module(model, path, BottleneckLinear(linear, width).train(model.training))
    return list(chosen)


def detach_bottlenecks(model: nn.Module) -> nn.Module:
    """Retire tous les goulots : le modèle, rendu, retrouve ses couches et ce qui s’entraînait."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, BottleneckLinear)}
    for path, module in found.items():
        replace_module(model, path, module.base)
    restore_base(model)
    return model
