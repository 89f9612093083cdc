"""N-gramme, réseau récurrent, Transformer : les mêmes histoires, le même budget de jetons.

    python -m course_experiments.model_families --tuning       réglages comparés (graine 0)
    python -m course_experiments.model_families --seeds 0 1 2  les modèles du chapitre 00

Les mesures vont dans `results/model_families.json`, réécrit après chaque modèle : une commande
interrompue reprend où elle en était. Les temps de calcul sont ceux d’un seul fil.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from torch import nn

from course_experiments.experiment import Experiment
from course_lib.evaluation.story_task import (
    StoryTask,
    build_task,
    oracle_score,
    score_network,
    score_ngram,
    with_end,
)
from course_lib.ngram import KneserNeyModel
from course_lib.recurrent import RecurrentLM
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

N_TRAIN, N_TEST, BATCH_SIZE, N_POINTS = 9_600, 300, 8, 8
CONTEXT_LENGTH = 192
ORACLE = "oracle"


@dataclass(frozen=True)
class Budget:
    """Histoires lues, une fois chacune, histoires de la mesure, taille des lots."""

    stories: int = N_TRAIN
    held_out_stories: int = N_TEST
    batch_size: int = BATCH_SIZE


@dataclass(frozen=True)
class Setting:
    """Un modèle et ses réglages ; `past` limite le passé lu dans chaque bloc d’un Transformer."""

    name: str
    family: str  # "ngram", "lstm", "gru" ou "transformer"
    order: int = 0
    d_model: int = 0
    hidden_size: int = 0
    n_layers: int = 1
    n_heads: int = 0
    learning_rate: float = 0.0
    past: tuple[int, ...] = ()


def _transformer(name: str, d_model: int, learning_rate: float, n_heads: int = 4, past=()):
    sizes = {"d_model": d_model, "n_layers": 2, "n_heads": n_heads}
    return Setting(name, "transformer", **sizes, learning_rate=learning_rate, past=past)


def _recurrent(name: str, hidden_size: int, learning_rate: float, family: str = "lstm"):
    sizes = {"d_model": 64, "hidden_size": hidden_size}
    return Setting(name, family, **sizes, learning_rate=learning_rate)


# Tailles voisines : LSTM, GRU et Transformer ont tous trois entre 146 000 et 149 000 paramètres.
RATES = (4e-3, 1e-2, 2e-2)
TUNING = (
    *(_recurrent("LSTM", 128, rate) for rate in RATES),
    *(_recurrent("GRU", 152, rate, "gru") for rate in RATES),
    _recurrent("LSTM", 128, 4e-2),  # le meilleur taux étant le plus fort, on va au-delà
    _recurrent("GRU", 152, 4e-2, "gru"),
    _recurrent("GRU", 152, 8e-2, "gru"),
    _recurrent("GRU", 152, 16e-2, "gru"),
    *(_transformer("Transformer", 64, rate, 4) for rate in RATES),
    _transformer("Transformer", 64, 4e-3, 8),
)
TRIALS = {
    f"taux {s.name} {s.learning_rate:g}{', 8 têtes' if s.n_heads == 8 else ''}": s for s in TUNING
}
SETTINGS = (
    Setting("3-gramme", "ngram", order=3),
    Setting("5-gramme", "ngram", order=5),
    Setting("7-gramme", "ngram", order=7),
    _recurrent("LSTM", 128, 2e-2),
    _transformer("Transformer", 64, 4e-3),
    _transformer("Transformer à 4 jetons", 64, 4e-3, past=(2, 1)),
    _transformer("petit Transformer", 32, 1e-2),
    _transformer("grand Transformer", 96, 4e-3),
    _recurrent("GRU", 152, 8e-2, "gru"),
)


def build_model(setting: Setting, vocab_size: int, seed: int) -> nn.Module:
    """Bâtit le réseau d’un réglage ; `seed` fixe ses poids de départ."""
    if setting.family == "transformer":
        sizes = (setting.d_model, setting.n_layers, setting.n_heads)
        return llama(LlamaConfig(vocab_size, CONTEXT_LENGTH, *sizes), seed)
    if setting.family not in ("lstm", "gru"):
        raise ValueError(
            f"family = {setting.family!r} n’est pas un réseau : lstm, gru ou transformer."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecurrentLM(
            vocab_size, setting.d_model, setting.hidden_size, setting.n_layers, setting.family
        )


@contextmanager
def limited_context(model: Decoder, past: Sequence[int]) -> Iterator[None]:
    """Dans ce bloc, le bloc i ne lit que `past[i]` positions avant la sienne.

    Les blocs s’enchaînent : le modèle voit 1 + Σ past jetons,
    comme un n-gramme d’ordre 2 + Σ past.
    """
    if not past:
        yield
        return
    if len(past) != len(model.blocks):
        raise ValueError(f"past = {past} : il faut un nombre par bloc, soit {len(model.blocks)}.")

    def restrict(reach):
        def hook(module, args, kwargs):
            rank = torch.arange(args[0].shape[1])
            near = rank[:, None] - rank <= reach  # (T, T)
            mask = kwargs.get("mask")
            return args, {**kwargs, "mask": near if mask is None else mask & near}

        return hook

    hooks = [
        block.self_attention.register_forward_pre_hook(restrict(reach), with_kwargs=True)
        for block, reach in zip(model.blocks, past, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def train_network(
    setting: Setting,
    task: StoryTask,
    seed: int,
    *,
    n_threads: int = 1,
    progress: bool = True,
    n_points: int = N_POINTS,
) -> tuple[nn.Module, dict]:
    """Entraîne et mesure un réseau : une lecture des histoires, `BATCH_SIZE` par pas.

    La lecture est mesurée `N_POINTS` fois ; on s’arrête à la mesure `n_points`, le reste intact.
    """
    model = build_model(setting, task.tokenizer.vocab_size, seed)
    n_steps = len(task.rows) // BATCH_SIZE
    eval_every = max(1, n_steps // N_POINTS)
    config = TrainingConfig(
        n_steps,
        setting.learning_rate,
        eval_every=eval_every,
        seed=seed,
        n_threads=n_threads,
    )
    stop_at = n_points * eval_every if n_points < N_POINTS else None
    scores, measured = [], []  # les mesures, et leur durée, que l’entraînement n’a pas à payer

    def evaluate(model):
        start = time.process_time()
        scores.append(score_network(model, task))
        measured.append(time.process_time() - start)
        return {"kl": scores[-1].kl, **scores[-1].skills}

    start = time.process_time()
    with limited_context(model, setting.past):
        history = train(
            model,
            task.batches(BATCH_SIZE, seed),
            config,
            evaluate=evaluate,
            progress=progress,
            stop_at=stop_at,
        )
    seconds = time.process_time() - start - sum(measured)
    points = [r for r in history.records if r.metrics]
    curve = {"tokens": [r.tokens for r in points]}
    curve |= {name: [r.metrics[name] for r in points] for name in points[0].metrics}
    size = count_parameters(model)
    return model, _result(setting, task, size, seconds, scores[-1]) | {"curve": curve}


def count_ngrams(setting: Setting, task: StoryTask) -> tuple[KneserNeyModel, dict]:
    """Compte et mesure un n-gramme ; sa taille est le nombre de n-grammes qu’il garde."""
    start = time.process_time()
    model = KneserNeyModel(setting.order, task.tokenizer.vocab_size, task.tokenizer.bos_id)
    model.fit(with_end(task.rows, task.tokenizer.eos_id))
    seconds = time.process_time() - start
    return model, _result(setting, task, model.n_entries, seconds, score_ngram(model, task))


def run(setting: Setting, task: StoryTask, seed: int, **options) -> tuple[object, dict]:
    """Apprend et mesure le modèle d’un réglage : (modèle, mesures)."""
    if setting.family == "ngram":
        return count_ngrams(setting, task)
    return train_network(setting, task, seed, **options)


def _result(setting: Setting, task: StoryTask, size: int, seconds: float, score) -> dict:
    identity = {"setting": asdict(setting), "tokens": task.n_tokens, "size": size}
    return identity | {"cpu_seconds": seconds} | asdict(score)


@lru_cache(maxsize=1)
def task_of(n_train: int, n_test: int, seed: int, split: str = "test") -> StoryTask:
    """Les histoires d’une graine, gardées d’une mesure à l’autre."""
    return build_task(n_train, n_test, seed, split)


def oracle(task: StoryTask) -> dict[str, float]:
    """Ce que vaut la loi même des histoires."""
    score = oracle_score(task)
    return {"nats": score.nats, "perplexity": score.perplexity}


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Un modèle du chapitre, sur le test ; un essai (`TRIALS`), sur la validation ; l’oracle."""
    split = "validation" if name in TRIALS else "test"
    task = task_of(budget.stories, budget.held_out_stories, seed, split)
    if name == ORACLE:
        return oracle(task)
    return run((TRIALS | {s.name: s for s in SETTINGS})[name], task, seed)[1]


EXPERIMENT = Experiment(
    "model_families",
    "Compare n-grammes, LSTM et Transformers sur les mêmes micro-histoires.",
    Budget(),
    [setting.name for setting in SETTINGS],
    measure,
    once=[ORACLE],
    tuning=lambda runs: TRIALS,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
