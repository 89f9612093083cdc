"""Un modèle ordinaire, tiré d’un modèle à qui l’affinage a ajouté quelque chose.

Un module ajouté (un adaptateur, un goulot…) a une méthode `unwrapped()` : elle rend le module
ordinaire qui calcule la même chose, ou lève ValueError s’il n’y en a pas.
"""

import copy

import torch
from torch import nn


@torch.no_grad()
def plain_model(model: nn.Module) -> nn.Module:
    """Le modèle lui-même, ou une copie aux mêmes sorties, sans rien d’ajouté ; il reste intact.

    Les poids que rien ne corrige sont partagés, non copiés. ValueError, avec le remède, si un
    ajout ne se fond pas dans les poids.
    """
    added = {path: m for path, m in model.named_modules() if hasattr(m, "unwrapped")}
    if not added:
        return model
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    clone = copy.deepcopy(model, shared)
    for path, module in added.items():
        parent, _, leaf = path.rpartition(".")
        setattr(clone.get_submodule(parent), leaf, module.unwrapped())
    return clone
