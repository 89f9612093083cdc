"""Affiner le romancier sur deux tâches de français, et SmolLM2 sur les mêmes exemples.

    python -m course_experiments.romancier.rewritings --tuning      taux comparés (graine 0)
    python -m course_experiments.romancier.rewritings               trois graines

Passer du « tu » au « vous », passer du présent au passé simple : trois cents exemples, cent pas,
les mêmes pour tous. Savoir déjà le français y change-t-il quelque chose ? La réponse est dans les
verbes que les exemples ne montrent pas. Les taux sont comparés sur un autre tirage que les
épreuves. Les mesures vont dans `results/romancier.rewritings.json`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from course_experiments.experiment import Experiment
from course_lib.corpora.sentences.past_historic import RegularPast, generate_past_forms
from course_lib.corpora.sentences.polite_forms import WordByWord, generate_polite_forms
from course_lib.evaluation.answers import exact_answers
from course_lib.finetuning import AnswerExamples, LoRAConfig, attach_lora, count_trainable
from course_lib.models.shipped import ROMANCIER_WEIGHTS
from course_lib.pretrained import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder

POLITE, PAST = "vouvoiement", "passé simple"
LORA, FULL = "LoRA", "tout"
TRIAL = "essai"
TRIAL_SEED = 1000  # un tirage que les épreuves ne revoient pas


@dataclass(frozen=True)
class Task:
    """Une tâche : son tirage, le dictionnaire qui la fait mot à mot, ce que l’un lit et rend."""

    draw: Callable
    baseline: Callable
    source: str
    target: str


TASKS = {
    POLITE: Task(generate_polite_forms, WordByWord, "familiar", "polite"),
    PAST: Task(generate_past_forms, RegularPast, "present", "past"),
}
MODELS = {"romancier": lambda: ROMANCIER_WEIGHTS, "SmolLM2": smollm2_path}
# Les taux comparés, et le meilleur de chacun ; un test relit les essais livrés.
RATES = {LORA: (1e-3, 3e-3, 1e-2), FULL: (1e-4, 3e-4, 1e-3)}
BEST = {
    ("romancier", LORA): 3e-3,
    ("romancier", FULL): 3e-4,
    ("SmolLM2", LORA): 1e-3,
    ("SmolLM2", FULL): 1e-4,
}


@dataclass(frozen=True)
class Protocol:
    """Exemples, phrases par épreuve (`n_trial` dans un essai), pas, lot, rang de LoRA."""

    n_train: int = 300
    n_test: int = 120
    n_trial: int = 60
    n_steps: int = 100
    batch_size: int = 8
    rank: int = 8
    context_length: int = 256


def baseline_shares(task: Task, forms) -> dict[str, float]:
    """Part de phrases exactes du dictionnaire appris sur les mêmes exemples, par épreuve."""
    rewrite = task.baseline(forms.train)
    return {
        kind: sum(rewrite(getattr(f, task.source)) == getattr(f, task.target) for f in tests)
        / len(tests)
        for kind, tests in forms.tests.items()
    }


def encoded(pretrained: Pretrained, forms: Sequence) -> list[tuple[list[int], list[int]]]:
    """Les ids de chaque consigne et de sa réponse, retour à la ligne compris."""
    encode = pretrained.tokenizer.encode
    return [(encode(form.prompt), encode(form.completion)) for form in forms]


def shares_exact(pretrained: Pretrained, tests: dict[str, Sequence]) -> dict[str, float]:
    """Part de phrases exactes du modèle, au choix glouton, par épreuve."""
    found = {
        kind: exact_answers(pretrained.model, AnswerExamples(encoded(pretrained, forms), 20))
        for kind, forms in tests.items()
    }
    return {kind: sum(answers) / len(answers) for kind, answers in found.items()}


def prepare(model: Decoder, method: str, rank: int, seed: int) -> None:
    """Pose un adaptateur LoRA sur les requêtes et les valeurs, ou laisse tous les poids libres."""
    if method == LORA:
        attach_lora(model, LoRAConfig(rank, 2.0 * rank, targets=("query", "value")), seed=seed)
    else:
        model.requires_grad_(True)


def finetune(
    name: tuple[str, str, str], rate: float, seed: int, n_test: int, protocol: Protocol
) -> dict:
    """Une base, une tâche, une façon : parts exactes avant et après, perte, temps de calcul."""
    task_name, model_name, method = name
    task = TASKS[task_name]
    forms = task.draw(protocol.n_train, n_test, seed)
    pretrained = load_pretrained(MODELS[model_name](), protocol.context_length)
    before = shares_exact(pretrained, forms.tests)
    prepare(pretrained.model, method, protocol.rank, seed)
    data = AnswerExamples(encoded(pretrained, forms.train), protocol.batch_size, seed)
    config = TrainingConfig(
        protocol.n_steps, rate, weight_decay=0.0, seed=seed, log_every=protocol.n_steps // 10
    )
    trained, start = count_trainable(pretrained.model), time.process_time()
    history = train(pretrained.model, data, config)
    seconds = time.process_time() - start
    return {
        "rate": rate,
        "trained": trained,
        "baseline": baseline_shares(task, forms),
        "before": before,
        "after": shares_exact(pretrained, forms.tests),
        "losses": [record.loss for record in history.records],
        "cpu_seconds": round(seconds),
    }


def trials(runs: dict) -> list[str]:
    """Les essais : la première tâche, chaque façon, ses taux."""
    return [
        f"{TRIAL}, {POLITE}, romancier, {method}, {rate:g}"
        for method, rates in RATES.items()
        for rate in rates
    ]


def measure(name: str, seed: int, protocol: Protocol) -> dict:
    """« tâche, modèle, façon », ou un essai « essai, tâche, modèle, façon, taux »."""
    if name.startswith(TRIAL):
        *what, rate = name.split(", ")[1:]
        return finetune(tuple(what), float(rate), TRIAL_SEED, protocol.n_trial, protocol)
    what = tuple(name.split(", "))
    return finetune(what, BEST[what[1:]], seed, protocol.n_test, protocol)


EXPERIMENT = Experiment(
    name="romancier.rewritings",
    description="Affine le romancier et SmolLM2 sur deux tâches de français.",
    settings=Protocol(),
    names=[
        f"{task}, {model}, {method}"
        for model, methods in (("romancier", (LORA, FULL)), ("SmolLM2", (LORA,)))
        for task in TASKS
        for method in methods
    ],
    measure=measure,
    tuning=trials,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
