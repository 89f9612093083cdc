"""Ce que partagent les équipes de processus : se compter, se parler, partir du même point."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from course_lib.training import OneProcess
from course_lib.training.checkpoint import named_tensors

_SEED_STRIDE = 1_000_003  # un nombre premier : deux processus ne tirent jamais la même suite


def loss_share(loss: Tensor, n_tokens: int) -> float:
    """Ce que cette part ajoute à la perte totale ; zéro si elle n’a pas de cible."""
    return loss.item() * n_tokens if n_tokens else 0.0


class Team(OneProcess):
    """Une équipe de processus qui se partagent les lignes de chaque lot.

    Le lot global et son ordre restent ceux d’un processus seul : le nombre de processus ne change
    le résultat que d’un arrondi. S’utilise une fois `torch.distributed` démarré.
    """

    def __init__(self):
        self.rank, self.n_workers = dist.get_rank(), dist.get_world_size()

    def seed(self, seed: int) -> int:
        """Chaque processus traite d’autres lignes : il tire aussi un autre dropout."""
        return seed + _SEED_STRIDE * self.rank

    def prepare(self, model: nn.Module) -> None:
        """Donne à tous les poids du processus principal."""
        for tensor in named_tensors(model).values():
            dist.broadcast(tensor.detach(), src=0)

    def batch(self, data, step: int) -> tuple[Tensor, ...]:
        """Les lignes de ce processus : le lot du pas est coupé en parts égales à une ligne près.

        ValueError s’il y a moins de lignes que de processus.
        """
        batch = data.batch(step)
        if len(batch[0]) < self.n_workers:
            raise ValueError(
                f"Un lot de {len(batch[0])} ligne(s) ne se partage pas entre {self.n_workers} "
                "processus : il faut au moins une ligne pour chacun. Agrandissez batch_size."
            )
        return tuple(torch.tensor_split(column, self.n_workers)[self.rank] for column in batch)

    def agree(self, flag: bool) -> bool:
        """Vrai si l’un des processus au moins dit vrai : tous s’arrêtent au même pas."""
        return self.total(float(flag)).item() > 0

    def on_main(self, action: Callable[[], Any]) -> Any:
        """Le processus principal agit, et envoie aux autres son résultat ou son exception."""
        answer = [None]
        if self.is_main:
            try:
                answer = [(action(), None)]
            except Exception as error:
                answer = [(None, error)]
        dist.broadcast_object_list(answer, src=0)
        value, error = answer[0]
        if error is not None:
            raise error
        return value

    def gather(self, text: str) -> list[str]:
        """Le texte de chaque processus, dans l’ordre des rangs."""
        texts = [""] * self.n_workers
        dist.all_gather_object(texts, text)
        return texts

    @staticmethod
    def total(*values: float) -> Tensor:
        """Somme, sur tous les processus, de ces valeurs : un petit message, entre processeurs."""
        totals = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(totals)
        return totals
