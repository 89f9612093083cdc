"""Ce que rapporte le contexte : le romancier, plus ou moins myope, sur des romans jamais lus.

    python -m course_experiments.romancier.context --novels DOSSIER

Le romancier relit dix passages par une fenêtre de quelques jetons : chaque jeton compté en a devant
lui au plus toute la fenêtre, au moins la moitié, hors des débuts. La mesure, en bits par caractère,
va dans `results/romancier.context.json`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import CLEAN, add_novels_option, read_novels, with_novels
from course_experiments.romancier.passages import passages
from course_lib.evaluation.sliding import sliding_nats
from course_lib.models.shipped import load_romancier

WINDOWS = (1, 2, 4, 8, 16, 64, 256, 1024)


@dataclass(frozen=True)
class Protocol:
    """Les passages de la mesure : `n_passages` de `length` jetons, répartis dans les romans."""

    n_passages: int = 10
    length: int = 1025
    seed: int = 0


def run_name(window: int) -> str:
    """« romancier 64 »."""
    return f"romancier {window}"


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """Les bits par caractère des passages, lus par la fenêtre que dit le nom."""
    model, tokenizer = load_romancier()
    size = (protocol.n_passages, protocol.length, protocol.seed)
    rows = passages(read_novels(novels, CLEAN), tokenizer, *size)
    characters = sum(len(tokenizer.decode(row[1:].tolist())) for row in rows)
    nats = sum(sliding_nats(model, row, int(name.split()[1])) for row in rows)
    return {"bits_per_character": nats / math.log(2) / characters, "characters": characters}


EXPERIMENT = Experiment(
    name="romancier.context",
    description="Mesure ce que le contexte rapporte au romancier.",
    settings=Protocol(),
    names=(),
    once=[run_name(window) for window in WINDOWS],
    seeds=(0,),
    measure=measure,
    add_options=add_novels_option,
    adapt=with_novels,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
