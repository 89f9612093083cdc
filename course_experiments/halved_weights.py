"""Livrer les poids d’un modèle entraîné en demi-précision, et les relire en simple précision."""

import copy
from pathlib import Path

import torch
from torch import nn

from course_lib.training import load_weights, save_weights


def save_halved(model: nn.Module, path: Path) -> None:
    """Écrit les poids sur seize bits ; `model` ne change pas."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(copy.deepcopy(model).half(), path)


@torch.no_grad()
def load_halved(model: nn.Module, path: Path, command: str) -> nn.Module:
    """Rend `model`, prêt à l’emploi, avec les poids qu’a écrits `save_halved`.

    FileNotFoundError s’ils manquent : le message donne `command`, qui les refait. ValueError si
    l’architecture n’est pas la leur.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} n’existe pas. Refaites-le (quelques minutes) : {command}")
    halved = copy.deepcopy(model).half()
    load_weights(halved, path)
    for weight, half in zip(model.parameters(), halved.parameters(), strict=True):
        weight.copy_(half)
    return model.eval()


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
