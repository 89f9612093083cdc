"""Ce qu’un modèle pense d’une réponse : la log-probabilité de chacun de ses jetons."""

import torch
from torch import Tensor, nn

from course_lib.training.data import IGNORE
from course_lib.transformer.modes import evaluating
from course_lib.transformer.precision import widened


def target_log_probs(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """log p de chaque cible, (B, T) ; 0 là où rien n’est à prédire (cible −100).

    `inputs` et `targets` (B, T), comme les rend `AnswerExamples` : la somme d’une ligne est la
    log-probabilité de la réponse sachant la consigne.
    """
    log_probs = widened(model(inputs)).log_softmax(-1)  # (B, T, V)
    chosen = log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return chosen.masked_fill(targets == IGNORE, 0.0)


@torch.no_grad()
def reference_log_probs(reference: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """La même chose pour un modèle que l’on n’entraîne pas, lu sans dropout, (B, T)."""
    with evaluating(reference):
        return target_log_probs(reference, inputs, targets)


def check_reference(model: nn.Module, reference: nn.Module) -> None:
    """ValueError si l’on compare un modèle à lui-même, ou à un autre vocabulaire."""
    if model is reference:
        raise ValueError(
            "Le modèle et sa référence sont le même objet : il ne s’en écarterait jamais. Donnez "
            "une copie, copy.deepcopy(modèle)."
        )
    ours, theirs = (m.embedding.tokens.num_embeddings for m in (model, reference))
    if ours != theirs:
        raise ValueError(
            f"Le modèle a {ours} jetons, sa référence {theirs} : il faut le même vocabulaire."
        )
