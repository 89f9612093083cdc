"""Ce que l’on minimise : l’entropie croisée, en nats par jeton, pour chaque sorte de modèle.

Une perte est une fonction `loss(model, batch) -> (moyenne par jeton, nombre de jetons)`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.training.cross_entropy import mean_cross_entropy
from course_lib.training.data import IGNORE

Loss = Callable[[nn.Module, tuple], tuple[Tensor, int]]


def language_model_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
    """Perte d’un modèle de langue : lot = (entrées, cibles), (B, T)."""
    inputs, targets = batch
    return head_loss(model, model.hidden(inputs), targets)


def head_loss(model: nn.Module, hidden: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Perte des vecteurs de sortie `hidden` (B, T, D), pour les cibles (B, T).

    La tête n’est appliquée qu’aux positions qui ont une cible : c’est elle qui coûte quand le
    vocabulaire est grand et les lignes de longueurs inégales.
    """
    kept = targets != IGNORE
    n_tokens = int(kept.sum())
    if n_tokens == targets.numel():
        hidden, targets = hidden.flatten(0, 1), targets.flatten()  # (B·T, D), (B·T,)
    else:
        hidden, targets = hidden[kept], targets[kept]  # (N, D), (N,)
    return mean_cross_entropy(model.head(hidden), targets), n_tokens


def sequence_to_sequence_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, int]:
    """Perte d’un encodeur-décodeur : lot = (source, entrée du décodeur, sortie attendue).

    Le modèle reconnaît lui-même le remplissage de la source à son `pad_id`.
    """
    source, target_in, target_out = batch
    return _cross_entropy(model(source, target_in), target_out)  # (B, T, V)


def token_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
    """Perte d’un encodeur (BERT, glose) : lot = (entrées, cibles), −100 où rien n’est dû."""
    inputs, targets = batch
    return _cross_entropy(model(inputs), targets)  # (B, T, V)


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    return loss, int((targets != IGNORE).sum())


@torch.no_grad()
def evaluate_loss(model: nn.Module, source, loss: Loss = language_model_loss) -> float:
    """Perte moyenne, en nats par jeton, sur tous les exemples de `source.in_order()`.

    Le modèle est évalué sans dropout, puis rendu dans le mode où il était.
    """
    was_training = model.training
    model.eval()
    total, n_tokens = 0.0, 0
    for batch in source.in_order():
        mean, n = loss(model, batch)
        total, n_tokens = total + mean.item() * n, n_tokens + n
    model.train(was_training)
    return total / n_tokens
