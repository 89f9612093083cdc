"""Ce que coûte, en octets échangés, un pas d’entraînement à plusieurs : les formules.

En anneau, chacun parle à son voisin de droite. Pour un tenseur de S octets et n processus :

    all-gather, reduce-scatter : n − 1 tours de S/n octets, soit (n − 1)/n × S envoyés par chacun ;
    all-reduce : l’un puis l’autre, soit 2 (n − 1)/n × S.

Le coût par processus ne croît donc presque pas avec n (Patarasuk et Yuan 2009). Les formules
suivent la boucle de `course_lib.training`, petits messages compris. Gloo, qui relie les processeurs
ordinaires, fait cependant un reduce-scatter comme un all-reduce dont on jette une partie : sur le
fil, il lui coûte le double.
"""

import math
from dataclasses import dataclass

from torch import nn

from course_lib.transformer.blocks import Block

NUMBER = 8  # octets d’un nombre en double précision : les petits messages en sont faits
STOP_FLAG = NUMBER  # « quelqu’un veut-il s’arrêter ? », une fois par pas
SHARE = 2 * NUMBER  # jetons et perte de la part
NORM = NUMBER  # carré de la norme des morceaux de gradient


@dataclass(frozen=True)
class Volume:
    """Octets des tenseurs que n processus réduisent, réunissent ou découpent."""

    n_workers: int
    all_reduce: int = 0
    all_gather: int = 0
    reduce_scatter: int = 0

    def __mul__(self, n_steps: int) -> "Volume":
        """Le volume de plusieurs pas."""
        payloads = (self.all_reduce, self.all_gather, self.reduce_scatter)
        return Volume(self.n_workers, *(n_steps * payload for payload in payloads))

    @property
    def sent_bytes(self) -> float:
        """Octets que chaque processus envoie, les échanges se faisant en anneau."""
        turn = (self.n_workers - 1) / self.n_workers
        return turn * (2 * self.all_reduce + self.all_gather + self.reduce_scatter)


def data_parallel_volume(model: nn.Module, n_workers: int) -> Volume:
    """Un pas à données partagées : une réduction de tous les gradients.

    Vaut pour un modèle dont tous les paramètres entraînés servent. S’y ajoute un nombre par
    paramètre : « a-t-il servi ? ».
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = sum(parameter.nbytes for parameter in trained)
    return Volume(n_workers, all_reduce=gradients + SHARE + NUMBER * len(trained) + STOP_FLAG)


def fully_sharded_volume(model: nn.Module, n_workers: int) -> Volume:
    """Un pas à modèle partagé : poids réunis à l’aller puis au retour, gradients découpés.

    Chaque poids est complété pour que sa première dimension se coupe en n. Ce qui n’est pas dans
    un bloc (table de plongement, dernière norme, tête) n’est réuni qu’une fois.
    """
    stages = [module for module in model.modules() if isinstance(module, Block)]
    inside = {parameter for block in stages for parameter in block.parameters()}
    blocks, rest = 0, 0
    for parameter in model.parameters():  # un poids lié ne compte qu’une fois
        rows = parameter.shape[0]
        padded = parameter.nbytes // rows * n_workers * math.ceil(rows / n_workers)
        blocks, rest = (blocks + padded, rest) if parameter in inside else (blocks, rest + padded)
    return Volume(
        n_workers,
        all_reduce=SHARE + NORM + STOP_FLAG,
        all_gather=2 * blocks + rest,
        reduce_scatter=blocks + rest,
    )


def tensor_parallel_volume(model: nn.Module, n_positions: int, n_workers: int) -> Volume:
    """Un pas à matrices partagées : par sous-couche, une somme de (B, T, D) à l’aller et au retour.

    `n_positions` = B × T. Vaut pour un décodeur ou un encodeur ; aucun poids ne circule.
    """
    activations = 0
    for block in model.modules():
        if isinstance(block, Block):
            query = block.self_attention.query
            n_sublayers = 2 if block.cross_attention is None else 3
            vector = query.in_features * query.weight.element_size()  # octets
            activations += 2 * n_sublayers * n_positions * vector
    return Volume(n_workers, all_reduce=activations + NORM + STOP_FLAG)
