"""Affiner le petit LLM : des questions sur les histoires, dix façons, de 10 à 3 000 exemples.

    python -m course_experiments.question_answering --tuning            taux comparés (graine 0)
    python -m course_experiments.question_answering --seeds 0 1 2

Chaque façon part du petit LLM livré (sauf « de zéro ») et fait le même nombre de pas (sauf « de
zéro, dix fois plus long »). On mesure,
sur 300 questions jamais vues, la part de réponses exactes ; puis, sur des histoires ordinaires, ce
que le modèle a oublié. Les mesures vont dans `results/question_answering.json` ; une commande
interrompue reprend où elle en était.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from course_experiments.experiment import Experiment
from course_lib.corpora.microworld.questions import KINDS, Question, generate_questions
from course_lib.evaluation.answers import exact_answers
from course_lib.evaluation.story_task import StoryTask, build_task, score_network
from course_lib.finetuning import (
    AnswerExamples,
    LoRAConfig,
    ReplayMix,
    attach_bottleneck,
    attach_lora,
    attach_soft_prompt,
    count_trainable,
    detach_adapters,
    detach_bottlenecks,
    detach_soft_prompt,
    train_biases,
    train_only,
)
from course_lib.models.shipped import SHAPE, load_petit_llm
from course_lib.tokenization import Tokenizer
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder, llama

TARGETS = ("query", "key", "value", "output", "gate", "up", "down")
RANKS = {"LoRA, rang 1": 1, "LoRA, rang 4": 4, "LoRA, rang 16": 16}
PROMPT_TOKENS, BOTTLENECK = 16, 16
LONG, LONG_FACTOR = "de zéro, dix fois plus long", 10
# Le meilleur taux essayé, sur la validation, à 300 exemples ; un test relit les essais livrés.
RATES = {
    "tout": 1e-3,
    "tout, avec reprise": 5e-4,
    "LoRA, rang 4": 4e-3,
    "goulots": 2e-2,
    "amorce apprise": 1e-1,
    "normes": 6e-2,
    "tête seule": 4e-3,
    "de zéro": 1e-3,
}
TUNED_LIKE = {"LoRA, rang 1": "LoRA, rang 4", "LoRA, rang 16": "LoRA, rang 4", LONG: "de zéro"}
ALL_SIZES, SOME_SIZES = (10, 30, 100, 300, 1000, 3000), (30, 300, 3000)
METHODS = {
    "tout": ALL_SIZES,
    "tout, avec reprise": ALL_SIZES,
    "LoRA, rang 4": ALL_SIZES,
    "de zéro": ALL_SIZES,
    "LoRA, rang 1": SOME_SIZES,
    "LoRA, rang 16": SOME_SIZES,
    "goulots": SOME_SIZES,
    "amorce apprise": SOME_SIZES,
    "normes": SOME_SIZES,
    "tête seule": SOME_SIZES,
    LONG: SOME_SIZES[-1:],
}
TUNING_SIZE, MAX_TRIALS = 300, 6
FACTORS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Budget:
    """Pas, lots, questions de mesure, histoires où l’on mesure l’oubli, et celles de la reprise."""

    n_steps: int = 300
    batch_size: int = 8
    n_test: int = 300
    n_stories: int = 100
    n_replay: int = 2_000
    replay_every: int = 4


def rate_for(method: str) -> float:
    """Le taux d’apprentissage d’une façon, le sien ou celui d’une voisine."""
    return RATES[TUNED_LIKE.get(method, method)]


def as_examples(
    questions: Sequence[Question], tokenizer: Tokenizer, prefix: Sequence[int] = ()
) -> list[tuple[list[int], list[int]]]:
    """Les ids de chaque consigne et de sa réponse, fin comprise ; `prefix` : l’amorce apprise."""
    return [
        (
            [*prefix, tokenizer.bos_id, *tokenizer.encode(question.prompt)],
            [*tokenizer.encode(f" {question.answer}"), tokenizer.eos_id],
        )
        for question in questions
    ]


def prepare(method: str, base: Decoder, seed: int) -> tuple[Decoder, list[int]]:
    """Rend le modèle prêt à s’entraîner de cette façon, et les ids de l’amorce apprise.

    ValueError si la façon est inconnue.
    """
    prefix: list[int] = []
    if method in ("de zéro", LONG):
        return llama(SHAPE, seed), prefix
    if method.startswith("tout"):
        base.requires_grad_(True)
    elif method in RANKS:
        rank = RANKS[method]
        attach_lora(base, LoRAConfig(rank, 2.0 * rank, targets=TARGETS), seed=seed)
    elif method == "goulots":
        attach_bottleneck(base, BOTTLENECK, seed=seed)
    elif method == "amorce apprise":
        prefix = attach_soft_prompt(base, PROMPT_TOKENS, seed)
    elif method == "normes":
        train_biases(base)
    elif method == "tête seule":
        # La tête est liée aux embeddings : on la détache pour n’entraîner qu’elle.
        base.head.weight = torch.nn.Parameter(base.head.weight.detach().clone())
        train_only(base, ["head.weight"])
    else:
        raise ValueError(f"Façon inconnue : {method!r}. Choisissez parmi {', '.join(METHODS)}.")
    return base, prefix


def accuracy(found: Sequence[bool], questions: Sequence[Question]) -> dict[str, float]:
    """Part de réponses exactes, en tout et par sorte de question."""
    shares = {"exact": sum(found) / len(found)}
    for kind in KINDS:
        of_kind = [ok for ok, q in zip(found, questions, strict=True) if q.kind == kind]
        shares[kind] = sum(of_kind) / len(of_kind)
    return shares


def run(
    method: str,
    size: int,
    seed: int,
    budget: Budget,
    stories: StoryTask,
    split: str = "test",
    learning_rate: float | None = None,
) -> dict:
    """Affine d’une façon, avec `size` exemples ; rend toutes les mesures."""
    base, tokenizer = load_petit_llm()
    model, prefix = prepare(method, base, seed)
    questions = generate_questions(size, "train", seed + 1)
    data = AnswerExamples(as_examples(questions, tokenizer, prefix), budget.batch_size, seed)
    if method == "tout, avec reprise":
        replay = build_task(budget.n_replay, 1, seed + 7, "validation", tokenizer)
        data = ReplayMix(data, replay.batches(budget.batch_size, seed), budget.replay_every)
    rate = learning_rate or rate_for(method)
    n_steps = budget.n_steps * (LONG_FACTOR if method == LONG else 1)
    config = TrainingConfig(n_steps, rate, weight_decay=0.0, seed=seed, n_threads=1)
    trained = count_trainable(model)
    start = time.process_time()
    train(model, data, config, progress=False)
    seconds = time.process_time() - start
    asked = generate_questions(budget.n_test, split)
    test = AnswerExamples(as_examples(asked, tokenizer, prefix), 50)
    result = accuracy(exact_answers(model, test), asked)
    result |= {"trained": trained, "cpu_seconds": seconds}
    result["kl"] = score_network(model, stories).kl
    detach = detachers().get(method)
    if detach is not None:
        detach(model)
        result["kl_detached"] = score_network(model, stories).kl
    return result


def detachers() -> dict[str, Callable]:
    """Comment rendre la base, pour les façons qui ne la touchent pas."""
    return dict.fromkeys(RANKS, detach_adapters) | {
        "goulots": detach_bottlenecks,
        "amorce apprise": detach_soft_prompt,
    }


def base_alone(budget: Budget) -> dict:
    """Le petit LLM sans affinage ; un exemple de plus dans l’amorce déborderait son contexte."""
    base, tokenizer = load_petit_llm()
    asked = generate_questions(budget.n_test, "test")
    found = exact_answers(base, AnswerExamples(as_examples(asked, tokenizer), 50))
    return accuracy(found, asked)


def next_rate(method: str, trials: dict[float, float]) -> float | None:
    """Le taux à essayer encore, d’après {taux: part exacte} ; None s’il n’y en a plus besoin.

    On essaie d’abord les trois du milieu, puis on continue tant que le meilleur est au bord.
    """
    for factor in FACTORS:
        if (rate := RATES[method] * factor) not in trials:
            return rate
    best = max(trials, key=trials.get)
    if len(trials) >= MAX_TRIALS or min(trials) < best < max(trials):
        return None
    return 2 * best if best == max(trials) else best / 2


def trials_left(runs: dict) -> list[str]:
    """Ce qu’il faut essayer encore, une façon après l’autre : « taux LoRA, rang 4 0.002 »…"""
    rates = {method: next_rate(method, tuning_trials(runs, method)) for method in RATES}
    return [f"taux {method} {rate:g}" for method, rate in rates.items() if rate is not None]


def tuning_trials(runs: dict, method: str) -> dict[float, float]:
    """Les essais d’une façon : {taux: part de réponses exactes}."""
    found = [seeds["0"] for name, seeds in runs.items() if name.startswith(f"taux {method} ")]
    return {trial["learning_rate"]: trial["exact"] for trial in found}


@lru_cache(maxsize=1)
def ordinary_stories(budget: Budget) -> StoryTask:
    """Les histoires où l’on mesure l’oubli."""
    return build_task(1, budget.n_stories, 0, "validation", load_petit_llm()[1])


def measure(name: str, seed: int, budget: Budget) -> dict:
    """« base », « LoRA, rang 4 100 » (façon, exemples), ou un essai de taux, sur la validation."""
    if name == "base":
        return base_alone(budget)
    method, number = name.removeprefix("taux ").rsplit(" ", 1)
    stories = ordinary_stories(budget)
    if not name.startswith("taux "):
        return run(method, int(number), seed, budget, stories)
    rate = float(number)
    found = run(method, TUNING_SIZE, seed, budget, stories, "validation", rate)
    return found | {"learning_rate": rate}


EXPERIMENT = Experiment(
    "question_answering",
    "Affine le petit LLM à répondre à des questions, de plusieurs façons.",
    Budget(),
    [f"{method} {size}" for method, sizes in METHODS.items() for size in sizes],
    measure,
    once=["base"],
    tuning=trials_left,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
