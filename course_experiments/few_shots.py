"""Donner une tâche par l’exemple à de vrais modèles : SmolLM2 et le romancier.

    python -m course_experiments.few_shots --seeds 0 1 2

Pour chaque tâche et chaque nombre d’exemples, on compte les réponses justes : celles que le choix
glouton écrirait en entier. Une graine est un autre choix d’exemples, dans un autre ordre. Pour les
tâches dont les couples existent hors du texte, on recommence avec les réponses des exemples
décalées d’un rang : toutes fausses, dans la bonne forme. Les mesures vont dans
`results/few_shots.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from course_experiments.experiment import Experiment
from course_experiments.few_shot_tasks import NOVELIST, TASKS, Pair
from course_lib.evaluation.answers import exact_answers
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.tokenization import Tokenizer
from course_lib.training import IGNORE, AlignedBatches

BATCH_SIZE = 12


@dataclass(frozen=True)
class Protocol:
    """Les nombres d’exemples, ceux où l’on décale aussi les réponses, et les épreuves de chacun."""

    counts: Sequence[int] = (0, 1, 2, 4, 8)
    mixed_counts: Sequence[int] = (2, 4, 8)
    prompts: int = 24


@cache
def opened(name: str) -> Pretrained:
    """Le modèle d’une tâche, ouvert une fois."""
    if name == NOVELIST:
        return load_pretrained("romancier")
    return load_pretrained(smollm2_path(), context_length=1024)


def as_batches(prompts: Sequence[Pair], tokenizer: Tokenizer) -> AlignedBatches:
    """Les épreuves en jetons ; les cibles valent −100 hors de la réponse.

    Un mot et l’espace qui le précède forment souvent un seul jeton : la réponse commence où le
    texte complet se sépare du texte à compléter.
    """
    inputs, targets = [], []
    for text, answer in prompts:
        ids, before = tokenizer.encode(text + answer), tokenizer.encode(text)
        pairs = enumerate(zip(before, ids, strict=False))
        start = next((rank for rank, (a, b) in pairs if a != b), len(before))
        inputs.append(ids[:-1])
        targets.append([IGNORE] * (start - 1) + ids[start:])
    return AlignedBatches(inputs, targets, BATCH_SIZE)


def n_right(loaded: Pretrained, prompts: Sequence[Pair]) -> int:
    """Nombre d’épreuves où le choix glouton écrit la réponse."""
    return sum(exact_answers(loaded.model, as_batches(prompts, loaded.tokenizer)))


def measure(name: str, seed: int, protocol: Protocol) -> dict:
    """{exemples: réponses justes}, exemples vrais, puis exemples décalés."""
    task = TASKS[name]
    loaded = opened(task.model)

    def right(n: int, mixed: bool) -> int:
        draw = Random(f"{name}/{n}/{seed}")  # les mêmes exemples, vrais ou décalés
        return n_right(loaded, task.prompts(n, draw, protocol.prompts, mixed))

    counts = [n for n in protocol.counts if n or not task.invented]
    mixed = () if task.invented else protocol.mixed_counts
    return {
        "true": {str(n): right(n, False) for n in counts},
        "mixed": {str(n): right(n, True) for n in mixed},
    }


EXPERIMENT = Experiment(
    "few_shots",
    "Donne des tâches par l’exemple à SmolLM2 et au romancier.",
    Protocol(),
    list(TASKS),
    measure,
    seeds=(0, 1, 2),
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
