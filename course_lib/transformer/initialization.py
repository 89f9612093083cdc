"""Tirer les poids de départ : ni trop grands, ni trop petits, et toujours les mêmes.

Chaque tirage passe par un générateur explicite : une graine donne un modèle, partout le même.
"""

import math
from typing import TypeVar

import torch
from torch import nn

from course_lib.transformer.attention import Attention
from course_lib.transformer.blocks import FeedForward, SwiGLU

Model = TypeVar("Model", bound=nn.Module)


EMBEDDING_STD = 0.02


def initialize_normal(model: Model, seed: int) -> Model:
    """Matrices de variance 1 / entrées, embeddings d’écart-type 0,02, biais nuls.

    Une somme de n termes a une variance n fois plus grande : divisée d’avance par n, elle laisse au
    signal la même taille d’une couche à la suivante, dans un petit modèle comme dans un grand
    (LeCun et al. 1998, §4.6). Les embeddings partent petits : liés à la tête, ils donnent d’abord
    des scores presque égaux. Chacun des L blocs ajoute deux sorties au flux résiduel : divisées par
    √(2 L), leur somme garde la même taille à toute profondeur (Radford et al. 2019, §2.3).
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _draw(module, 1 / math.sqrt(module.in_features), generator)
    residual_scale = 1 / math.sqrt(2 * len(model.blocks))
    for module in model.modules():
        if isinstance(module, Attention):
            _draw(module.output, residual_scale / math.sqrt(module.output.in_features), generator)
        elif isinstance(module, FeedForward | SwiGLU):
            _draw(module.down, residual_scale / math.sqrt(module.down.in_features), generator)
    # En dernier : une tête liée aux embeddings garde leur tirage.
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD, generator=generator)
    return model


def _draw(linear: nn.Linear, std: float, generator: torch.Generator) -> None:
    nn.init.normal_(linear.weight, std=std, generator=generator)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def initialize_xavier(model: Model, seed: int) -> Model:
    """Matrices tirées selon Glorot et Bengio 2010, biais nuls, embeddings de variance 1 / d_model.

    Multipliés par √d_model à l’entrée, les embeddings y ont la variance 1, comme les positions.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # En second : une tête liée aux embeddings garde leur tirage.
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            std = 1 / math.sqrt(module.embedding_dim)
            nn.init.normal_(module.weight, std=std, generator=generator)
    return model
