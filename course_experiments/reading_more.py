"""Lire davantage pour écrire à moindre coût : ce que coûte un jeton, à trois tailles mesurées.

    python -m course_experiments.reading_more --repeats 0 1 2

Les tailles sont celles de la loi de taille (`romancier.size_law`), dont le relevé dit la perte et
le temps d’apprentissage. Ici l’on mesure le temps et l’énergie d’un jeton écrit, un texte à la
fois, avec la mémoire cache. Les poids sont tirés au sort : ce que coûte un jeton ne dépend pas de
ce que le modèle a appris. Les mesures vont dans `results/reading_more.json`.
"""

from dataclasses import replace

from course_experiments import energy
from course_experiments.experiment import Experiment
from course_experiments.romancier import size_law
from course_lib.transformer import llama

# La taille et sa lecture : clés du relevé de la loi de taille.
PLANS = {
    "gros, lecture courte": ((224, 5), size_law.SHORT),
    "moyen, lecture courte": ((48, 3), size_law.SHORT),
    "petit, lecture longue": ((32, 2), size_law.LONG),
}
BUDGET = replace(energy.Budget(), vocab_size=size_law.Protocol().vocab_size, min_cpu_seconds=2.0)


def measure(name: str, seed: int, budget: energy.Budget) -> dict:
    """Le coût d’un jeton écrit par le modèle d’un plan ; `seed` tire poids et amorces."""
    energy.warm_up(budget)
    model = llama(size_law.shape(*PLANS[name][0], size_law.Protocol()), seed).eval()
    return energy.measure_writing(model, budget, 1, True, seed)


def training_seconds(name: str, law: dict) -> list[float]:
    """Le temps d’apprentissage d’un plan, une valeur par graine, lu dans le relevé `law`."""
    return [run["cpu_seconds"] for run in law[size_law.run_name(*PLANS[name])].values()]


def losses(name: str, law: dict) -> list[float]:
    """La perte d’un plan sur des romans non lus, une valeur par graine."""
    return [run["loss"] for run in law[size_law.run_name(*PLANS[name])].values()]


EXPERIMENT = Experiment(
    "reading_more",
    "Mesure ce que coûte un jeton aux tailles de la loi de taille.",
    BUDGET,
    list(PLANS),
    measure,
    seeds_option=("--repeats", "répétitions"),
    digits=9,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
