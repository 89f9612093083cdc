"""Compter juste en demi-précision : les sommes se font en simple précision.

Un nombre sur 16 bits déborde vite (float16 : au-delà de 65 504) ou n’a que trois chiffres
(bfloat16). On garde les poids et les vecteurs ainsi ; les carrés, les exponentielles et les sommes,
eux, passent par 32 bits. En simple ou double précision, rien ne change.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """Le tenseur en simple précision s’il était sur 16 bits, lui-même sinon."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(x: Tensor) -> AbstractContextManager:
    """Contexte où l’on compte dans la précision des tenseurs, même au milieu d’un calcul mixte.

    `torch.autocast` ferait sur 16 bits jusqu’à la somme des carrés d’une norme.
    """
    kind = x.device.type
    known = torch.amp.is_autocast_available(kind)  # « meta » ne le connaît pas
    mixed = known and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if mixed else nullcontext()
