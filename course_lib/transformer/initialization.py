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


def normal_std(d_model: int) -> float:
    """Écart-type des poids : 0,02 comme GPT-2, davantage pour les petits modèles.

    Une somme de d_model termes a une variance proportionnelle à d_model : à 0,02, le signal d’un
    modèle de 64 dimensions s’éteindrait d’une couche à la suivante.
    """
    return max(0.02, 0.3 / math.sqrt(d_model))


def initialize_normal(model: Model, seed: int) -> Model:
    """Poids tirés de N(0, σ²), biais nuls ; sorties des sous-couches divisées par √(2 L).

    Chacun des L blocs ajoute deux sorties au flux résiduel : divisées ainsi, leur somme garde la
    même taille quelle que soit la profondeur. Source : Radford et al. 2019, §2.3.
    """
    generator = torch.Generator().manual_seed(seed)
    std = normal_std(model.embedding.tokens.embedding_dim)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std, generator=generator)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    residual_std = std / math.sqrt(2 * len(model.blocks))
    for module in model.modules():
        if isinstance(module, Attention):
            nn.init.normal_(module.output.weight, std=residual_std, generator=generator)
        elif isinstance(module, FeedForward | SwiGLU):
            nn.init.normal_(module.down.weight, std=residual_std, generator=generator)
    return model


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
