"""Lire un modèle sans oubli (dropout), puis le rendre exactement comme on l’a trouvé."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Le temps d’un bloc `with`, tout le modèle est en mode évaluation.

    En sortant, même par une exception, chaque sous-module retrouve son propre mode : celui que
    l’on avait laissé en évaluation y reste.
    """
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
