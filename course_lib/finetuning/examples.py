"""Des exemples « consigne → réponse » : on n’apprend que la réponse.

Le modèle lit la consigne, mais la perte ne compte que les jetons de la réponse : sans ce masque, il
apprendrait surtout à écrire des consignes. Une source suit l’interface de `course_lib.training` :
le lot d’un pas ne dépend que de la graine et du numéro du pas.
"""

import zlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course_lib.training.data import IGNORE

Example = tuple[Sequence[int], Sequence[int]]


class AnswerExamples:
    """Des couples (ids de la consigne, ids de la réponse, jeton de fin compris).

    `batch(step)` rend (entrées, cibles), (B, T) : les cibles valent −100 sur la consigne et sur le
    remplissage. ValueError si un exemple est vide d’un côté, ou s’il n’y en a aucun.
    """

    def __init__(
        self, examples: Sequence[Example], batch_size: int, seed: int = 0, pad_id: int = 0
    ):
        if not examples:
            raise ValueError("Aucun exemple : donnez au moins une consigne et sa réponse.")
        for rank, (prompt, answer) in enumerate(examples):
            if not prompt or not answer:
                raise ValueError(
                    f"L’exemple n° {rank} a {len(prompt)} jetons de consigne et {len(answer)} de "
                    "réponse : il en faut au moins un de chaque."
                )
        if batch_size < 1:
            raise ValueError(f"batch_size = {batch_size} : il faut au moins un exemple par pas.")
        self.examples = [(list(prompt), list(answer)) for prompt, answer in examples]
        self.batch_size = min(batch_size, len(examples))
        self.seed, self.pad_id = seed, pad_id

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Les exemples du pas : chacun est vu une fois par passage, dans un ordre tiré au sort."""
        one_pass, position = divmod(step, len(self.examples) // self.batch_size)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + one_pass)
        order = torch.randperm(len(self.examples), generator=generator).tolist()
        chosen = order[position * self.batch_size : (position + 1) * self.batch_size]
        return self._collate([self.examples[i] for i in chosen])

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Tous les exemples, une fois, dans l’ordre."""
        for start in range(0, len(self.examples), self.batch_size):
            yield self._collate(self.examples[start : start + self.batch_size])

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ces données."""
        checksum = zlib.crc32(repr(self.examples).encode())
        return {"examples": len(self), "batch": self.batch_size, "seed": self.seed, "crc": checksum}

    def _collate(self, examples: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
        width = max(len(prompt) + len(answer) for prompt, answer in examples) - 1
        inputs = torch.full((len(examples), width), self.pad_id)
        targets = torch.full((len(examples), width), IGNORE)
        for row, (prompt, answer) in enumerate(examples):
            ids = torch.tensor(prompt + answer)
            inputs[row, : len(ids) - 1] = ids[:-1]
            targets[row, len(prompt) - 1 : len(ids) - 1] = ids[len(prompt) :]
        return inputs, targets


class ReplayMix:
    """Mêle deux sources : la tâche, et de temps en temps un lot de la base, contre l’oubli.

    `every` : un lot sur `every` vient de la base. ValueError s’il est inférieur à 2.
    """

    def __init__(self, task, base, every: int = 4):
        if every < 2:
            raise ValueError(f"every = {every} : il faut au moins 2, un lot de la base sur deux.")
        self.task, self.base, self.every = task, base, every

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Le lot du pas, de l’une ou de l’autre source."""
        turn, rest = divmod(step, self.every)
        if rest == self.every - 1:
            return self.base.batch(turn)
        return self.task.batch(turn * (self.every - 1) + rest)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Les exemples de la tâche : c’est elle que l’on évalue."""
        return self.task.in_order()

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ces données."""
        sources = {"task": self.task.fingerprint(), "base": self.base.fingerprint()}
        return {**sources, "every": self.every}
