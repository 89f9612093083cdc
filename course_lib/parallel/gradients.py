"""Additionner les gradients de plusieurs processus : quelques gros paquets au lieu de mille petits.

Un message coûte un temps fixe, quelle que soit sa taille. On met donc les gradients bout à bout
dans des seaux (`buckets`), et chaque seau fait l’objet d’une seule réduction, dite all-reduce :
chacun donne son seau et reçoit la somme de tous (Li et al. 2020, arXiv:2006.15704, §3.2.1).
"""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import nn

BUCKET_BYTES = 4 * 2**20


def buckets(
    parameters: Sequence[nn.Parameter], max_bytes: int = BUCKET_BYTES
) -> Iterator[list[nn.Parameter]]:
    """Partage les paramètres, du dernier au premier, en seaux d’au plus `max_bytes` octets.

    Le gradient du dernier étage est prêt le premier. Un paramètre plus gros qu’un seau l’occupe
    seul. ValueError si `max_bytes` n’est pas positif.
    """
    if max_bytes < 1:
        raise ValueError(f"max_bytes = {max_bytes} est impossible : il faut au moins 1 octet.")
    bucket, size = [], 0
    for parameter in reversed(parameters):
        if bucket and size + parameter.nbytes > max_bytes:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.nbytes
    if bucket:
        yield bucket


@torch.no_grad()
def sum_gradients(
    parameters: Sequence[nn.Parameter], scale: float = 1.0, max_bytes: int = BUCKET_BYTES
) -> None:
    """Remplace chaque gradient par `scale` × la somme de ceux de tous les processus.

    Un gradient absent compte pour zéro. Les seaux partent sans attendre : on remplit le suivant
    pendant que le précédent voyage.
    """
    sent = []
    for bucket in buckets(parameters, max_bytes):
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in bucket]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        sent.append((gradients, flat, dist.all_reduce(flat, async_op=True)))
    for gradients, flat, work in sent:
        work.wait()
        pieces = flat.mul_(scale).split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))
