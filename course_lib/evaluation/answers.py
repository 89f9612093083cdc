"""Répondre juste : la part des réponses que le modèle écrirait exactement.

Une réponse est exacte si, à chacun de ses jetons, le bon est le plus probable sachant les
précédents. C’est ce qu’écrirait le choix glouton, sans avoir à l’écrire : une seule lecture suffit.
"""

import torch

from course_lib.generation.readers import reading
from course_lib.training.data import IGNORE
from course_lib.transformer import Decoder


@torch.no_grad()
def exact_answers(model: Decoder, source) -> list[bool]:
    """Pour chaque exemple de `source.in_order()` : le choix glouton écrit-il toute la réponse ?

    Les cibles (B, T) valent −100 hors de la réponse ; la tête n’est appliquée qu’à celle-ci.
    """
    found: list[bool] = []
    with reading(model):
        for inputs, targets in source.in_order():
            kept = targets != IGNORE
            best = model.head(model.hidden(inputs)[kept]).argmax(dim=-1)  # (N,)
            right = torch.ones_like(kept)
            right[kept] = best == targets[kept]
            found += right.all(dim=1).tolist()
    return found
