"""Compter ce que des processus s’échangent : appels et octets, par sorte d’échange."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.parallel.volumes import Volume

# L’opération de PyTorch, et la sorte d’échange qu’elle lance.
_EXCHANGES = {
    "c10d::allreduce_": "all_reduce",
    "_c10d_functional::all_reduce": "all_reduce",
    "c10d::_allgather_base_": "all_gather",
    "c10d::allgather_": "all_gather",
    "_c10d_functional::all_gather_into_tensor": "all_gather",
    "c10d::_reduce_scatter_base_": "reduce_scatter",
    "_c10d_functional::reduce_scatter_tensor": "reduce_scatter",
    "c10d::broadcast_": "broadcast",
}


class CommunicationMeter(TorchDispatchMode):
    """Contexte qui compte, pour ce processus, les échanges lancés par `torch.distributed`.

    `calls[sorte]` : nombre d’appels. `payload[sorte]` : octets du tenseur complet, celui que l’on
    réduit, réunit ou découpe. Les sortes : all_reduce, all_gather, reduce_scatter, broadcast.
    L’octet effectivement envoyé dépend de l’algorithme : voir `Volume.sent_bytes`.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.payload = Counter(), Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        kind = _EXCHANGES.get(function.name().partition(".")[0])
        if kind is not None:
            self.calls[kind] += 1
            self.payload[kind] += max(_sizes([*args, result]))
        return result

    def volume(self, n_workers: int) -> Volume:
        """Le compte, sous la forme des volumes attendus de `course_lib.parallel.volumes`."""
        return Volume(
            n_workers=n_workers,
            all_reduce=self.payload["all_reduce"],
            all_gather=self.payload["all_gather"],
            reduce_scatter=self.payload["reduce_scatter"],
        )


def _sizes(values) -> list[int]:
    """Taille, en octets, de chaque tenseur ; d’une liste de tenseurs, la taille de l’ensemble."""
    sizes = []
    for value in values:
        if isinstance(value, torch.Tensor):
            sizes.append(value.nbytes)
        elif isinstance(value, list | tuple):
            sizes.append(sum(_sizes(value)))
    return sizes
