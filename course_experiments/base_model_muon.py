"""Le petit LLM refait par Muon, cinq graines : sa distance à la loi des histoires, ses compétences.

    python -m course_experiments.base_model_muon --seeds 0 1 2 3 4

Mêmes histoires, même découpage, mêmes pas que le petit LLM livré, qu’AdamW a entraîné et qui reste
celui du cours : seul change ce qui fait avancer les matrices des blocs. Les mesures finales se font
sur les histoires de test. Elles vont dans `results/base_model_muon.json` ; une commande interrompue
reprend à la graine où elle en était. Six à sept minutes de calcul par graine, sur un fil.
"""

from dataclasses import dataclass

from course_experiments import base_model
from course_experiments.base_model import BATCH_SIZE, LEARNING_RATE, N_CURVE, N_STORIES, N_TEST
from course_experiments.experiment import Experiment
from course_lib.evaluation.story_task import build_task


@dataclass(frozen=True)
class Plan:
    """L’entraînement du petit LLM, et ce que Muon y change.

    `muon_rate_ratio` : le taux des matrices des blocs, rapporté à `learning_rate`, celui du reste.
    """

    n_stories: int = N_STORIES
    n_validation: int = N_CURVE
    n_test: int = N_TEST
    learning_rate: float = LEARNING_RATE
    optimizer: str = "muon"
    muon_rate_ratio: float = 3.0


def measure(name: str, seed: int, plan: Plan) -> dict:
    """Tout un pré-entraînement : mesures sur le test, et courbe sur la validation."""
    tokenizer = base_model.train_tokenizer()
    task = build_task(plan.n_stories, plan.n_validation, seed, "validation", tokenizer)
    model, record = base_model.pretrain(
        task,
        plan.n_stories // BATCH_SIZE,
        seed,
        learning_rate=plan.learning_rate,
        optimizer=plan.optimizer,
        muon_rate_ratio=plan.muon_rate_ratio,
    )
    return {"test": base_model.measure(model, tokenizer, plan.n_test), **record}


EXPERIMENT = Experiment(
    "base_model_muon",
    "Refait le petit LLM avec Muon, et le mesure comme celui que le cours livre.",
    Plan(),
    ["muon"],
    measure,
    seeds=range(5),
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
