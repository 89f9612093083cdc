"""Des exemples « consigne → réponse » : on n’apprend que la réponse.

Le modèle lit la consigne, mais la perte ne compte que les jetons de la réponse : sans ce masque, il
apprendrait surtout à écrire des consignes. Une source suit l’interface de `course_lib.training` :
le lot d’un pas ne dépend que de la graine et du numéro du pas.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from course_lib.training.data import IGNORE, AlignedBatches

Example = tuple[Sequence[int], Sequence[int]]


def aligned_rows(examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
    """Pour chaque exemple, ce qui est lu et ce qui est à prédire : −100 sur la consigne.

    Deux listes de lignes, de len(consigne) + len(réponse) − 1 jetons. ValueError si un exemple est
    vide d’un côté.
    """
    inputs, targets = [], []
    for rank, (prompt, answer) in enumerate(examples):
        if not len(prompt) or not len(answer):
            raise ValueError(
                f"L’exemple n° {rank} a {len(prompt)} jetons de consigne et {len(answer)} de "
                "réponse : il en faut au moins un de chaque."
            )
        inputs.append([*prompt, *answer][:-1])
        targets.append([IGNORE] * (len(prompt) - 1) + list(answer))
    return inputs, targets


class AnswerExamples(AlignedBatches):
    """Des couples (ids de la consigne, ids de la réponse, jeton de fin compris).

    `batch(step)` rend (entrées, cibles), (B, T) : les cibles valent −100 sur la consigne et sur le
    remplissage. ValueError si un exemple est vide d’un côté, ou s’il n’y en a aucun.
    """

    def __init__(
        self, examples: Sequence[Example], batch_size: int, seed: int = 0, pad_id: int = 0
    ):
        super().__init__(*aligned_rows(examples), batch_size, seed, pad_id)


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
