"""L’entropie croisée et son gradient, écrits en un aller et un retour.

Pour des scores z et la cible t : perte = log Σ exp(z) − z_t, gradient = softmax(z) − 1_t. Sur un
processeur, quelques opérations sur tout le tableau vont plusieurs fois plus vite que
`torch.nn.functional.cross_entropy`, et les exponentielles de l’aller servent au retour.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from course_lib.transformer.precision import widened


class _CrossEntropy(torch.autograd.Function):
    """Moyenne sur les N lignes ; `targets` ne contient que de vrais rangs."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> Tensor:
        ctx.dtype, logits = logits.dtype, widened(logits)
        top = logits.amax(dim=-1, keepdim=True)  # (N, 1) : l’exponentielle ne déborde jamais
        exponentials = (logits - top).exp_()  # (N, V)
        total = exponentials.sum(dim=-1, keepdim=True)  # (N, 1)
        chosen = logits.gather(-1, targets[:, None])  # (N, 1)
        ctx.save_for_backward(exponentials, total, targets)
        return (total.log() + top - chosen).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        exponentials, total, targets = ctx.saved_tensors
        scale = gradient / len(targets)
        slope = exponentials * (scale / total)  # softmax(z), à l’échelle de la moyenne
        slope[torch.arange(len(targets), device=targets.device), targets] -= scale
        return slope.to(ctx.dtype), None


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Entropie croisée moyenne, en nats : scores (N, V), cibles (N,) entre 0 et V − 1.

    Des scores sur 16 bits donnent une perte en simple précision. Une seule dérivation : qui veut la
    dérivée seconde emploiera celle de PyTorch. ValueError si aucune ligne n’est donnée : la moyenne
    de rien n’a pas de sens.
    """
    if len(targets) == 0:
        raise ValueError(
            "Aucune cible à prédire dans ce lot : il faut au moins un jeton qui ne soit pas ignoré."
        )
    return _CrossEntropy.apply(logits, targets)
