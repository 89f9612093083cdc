"""Plusieurs documents dans une même ligne, sans qu’aucun n’en lise un autre.

ligne         le  chat  dort  |  il   pleut  |  ·
document_ids   1    1     1      2     2        0
positions      0    1     2      0     1        0
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def separate_documents(
    document_ids: Int[Tensor, "B T"], *, alone: bool = True
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B 1 T T"]]:
    """Position de chaque jeton dans son document, et le masque : True = même document.

    `document_ids` : le numéro du document de chaque jeton ; ceux d’un document se suivent. Le
    remplissage est un document de plus. `alone` : faux si un masque de remplissage ou une mémoire
    cache est donné aussi, ce qui n’a pas de sens ici (ValueError).
    """
    if not alone:
        raise ValueError(
            "document_ids ne va ni avec padding_mask, ni avec cache : donnez au remplissage un "
            "numéro de document à lui, et écrivez un seul document par ligne."
        )
    first = document_ids != document_ids.roll(1, dims=1)  # (B, T)
    first[:, 0] = True
    rank = torch.arange(document_ids.shape[1], device=document_ids.device)  # (T,)
    start = (rank * first).cummax(dim=1).values  # (B, T) : où commence le document du jeton
    same = document_ids[:, None, :, None] == document_ids[:, None, None, :]  # (B, 1, T, T)
    return rank - start, same
