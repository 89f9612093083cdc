"""Ce que l’on minimise : l’entropie croisée, en nats par jeton, pour chaque sorte de modèle.

Une perte est une fonction `loss(model, batch) -> (moyenne par jeton, nombre de jetons)`. Un lot
sans cible n’apprend rien : sa perte est nulle, et compte pour zéro jeton.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.training.cross_entropy import mean_cross_entropy
from course_lib.training.data import IGNORE, BatchSource
from course_lib.training.devices import learned_rows, pick, to_device
from course_lib.transformer.modes import evaluating
from course_lib.transformer.precision import widened

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
    n_tokens, rows = learned_rows(targets)
    logits = model.head(pick(hidden, rows))  # (N, D) → (N, V)
    if n_tokens == 0:
        return no_target_loss(logits), 0
    return mean_cross_entropy(logits, pick(targets, rows)), n_tokens


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
    n_tokens, _ = learned_rows(targets)
    if n_tokens == 0:
        return no_target_loss(logits), 0
    logits = widened(logits.flatten(0, 1))  # (B·T, V)
    return F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORE), n_tokens


def no_target_loss(outputs: Tensor) -> Tensor:
    """La perte d’un lot sans cible : zéro, relié au graphe des sorties (N, …).

    Son gradient est nul partout, mais le retour se fait : dans une équipe, les autres processus
    attendent le nôtre.
    """
    return outputs[:0].sum()


def check_some_targets(n_tokens: int) -> None:
    """ValueError si rien n’était à prédire : la moyenne de rien n’a pas de sens."""
    if n_tokens == 0:
        raise ValueError(
            f"Aucune cible dans ces données : vides, ou toutes à {IGNORE}. Vérifiez les "
            "étiquettes, ou la longueur des réponses : il faut au moins un jeton à prédire."
        )


@torch.no_grad()
def evaluate_loss(model: nn.Module, source: BatchSource, loss: Loss = language_model_loss) -> float:
    """Perte moyenne, en nats par jeton, sur tous les exemples de `source.in_order()`.

    Les lots vont sur l’appareil du modèle, évalué sans dropout, puis rendu dans le mode où il
    était. Un lot sans cible ne compte pas. ValueError si aucun n’en a.
    """
    total, n_tokens = 0.0, 0
    with evaluating(model):
        for batch in source.in_order():
            mean, n = loss(model, to_device(batch, model))
            if n:
                total, n_tokens = total + mean.item() * n, n_tokens + n
    check_some_targets(n_tokens)
    return total / n_tokens
