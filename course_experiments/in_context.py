"""Répondre sans avoir appris la réponse : des couples inventés dans le texte, et relus.

    python -m course_experiments.in_context --seeds 0 1 2

Chaque texte de `corpora.microworld.recall` invente ses couples. On entraîne des réseaux à répondre
aux questions (la perte ne porte que sur les réponses), puis on les éprouve : plus d’exemples qu’à
l’entraînement, couples jamais vus, familles d’exercices jamais montrées. Un n-gramme et un LSTM de
même budget servent de repères. Les mesures vont dans `results/in_context.json`, réécrit après
chaque modèle : une commande interrompue reprend où elle en était. Temps de calcul d’un seul fil.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from course_experiments.experiment import Experiment
from course_lib.corpora.microworld.recall import (
    KEYS,
    VALUES,
    RecallPrompt,
    RecallText,
    generate_prompts,
    generate_recall,
)
from course_lib.ngram import KneserNeyModel
from course_lib.recurrent import RecurrentLM
from course_lib.tokenization import WordTokenizer
from course_lib.training import IGNORE, AlignedBatches, TrainingConfig, token_loss, train
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

N_STEPS, BATCH_SIZE, EVAL_EVERY, MAX_PAIRS = 800, 32, 20, 8
COUNTS = (0, 1, 2, 4, 8, 12, 16, 24, 32)  # au-delà de MAX_PAIRS : plus qu’à l’entraînement
LIMIT_FORMS, LIMIT_COUNTS, CURVE_COUNTS = ("reversed", "two_words", "keys_only"), (2, 4, 8), (4, 8)
N_PROMPTS, N_CURVE_PROMPTS = 500, 200
CONTEXT_LENGTH, ROPE_THETA, EMBEDDING_STD = 128, 100.0, 1.0
LAST_WORD = "dernier mot"


@dataclass(frozen=True)
class Budget:
    """Pas, textes par pas, couples par texte au plus, et épreuves de chaque mesure."""

    steps: int = N_STEPS
    batch_size: int = BATCH_SIZE
    max_pairs: int = MAX_PAIRS
    prompts: int = N_PROMPTS


@dataclass(frozen=True)
class Setting:
    """Un modèle et ses réglages."""

    name: str
    family: str  # "transformer", "lstm" ou "ngram"
    d_model: int = 0
    n_layers: int = 0
    n_heads: int = 0
    hidden_size: int = 0
    order: int = 0
    learning_rate: float = 0.0


def _transformer(name: str, d_model: int, n_layers: int, **options) -> Setting:
    rate = {"learning_rate": 3e-3} | options
    return Setting(name, "transformer", d_model, n_layers, n_heads=2, **rate)


def _lstm(learning_rate: float) -> Setting:
    sizes = {"d_model": 64, "n_layers": 1, "hidden_size": 112}
    return Setting(f"LSTM, taux {learning_rate:g}", "lstm", **sizes, learning_rate=learning_rate)


SETTINGS = (
    _transformer("2 couches, largeur 16", 16, 2, learning_rate=1e-2),
    _transformer("2 couches, largeur 32", 32, 2, learning_rate=5e-3),
    _transformer("2 couches, largeur 64", 64, 2),
    _transformer("1 couche, largeur 64", 64, 1),
    _transformer("1 couche, largeur 96", 96, 1),
    *(_lstm(rate) for rate in (4e-3, 1e-2, 2e-2)),
    Setting("3-gramme", "ngram", order=3),
)


@dataclass(frozen=True)
class RecallTask:
    """Les textes d’une graine en jetons ; `targets` vaut −100 hors des réponses."""

    tokenizer: WordTokenizer
    inputs: list[list[int]]
    targets: list[list[int]]

    def batches(self, seed: int) -> AlignedBatches:
        return AlignedBatches(self.inputs, self.targets, BATCH_SIZE, seed, self.tokenizer.pad_id)


def build_task(n_texts: int, seed: int = 0) -> RecallTask:
    """Tire les `n_texts` textes d’une graine et les met en jetons."""
    return encode_task(generate_recall(n_texts, seed, MAX_PAIRS))


def encode_task(texts: Sequence[RecallText]) -> RecallTask:
    """Met des textes en jetons ; n’attend du modèle que les réponses que le texte détermine."""
    tokenizer = WordTokenizer.train([" ".join(KEYS + VALUES)])
    inputs, targets = [], []
    for text in texts:
        ids = tokenizer.encode(text.text)
        answers = set(text.answers)
        inputs.append([tokenizer.bos_id, *ids[:-1]])
        targets.append([each if rank in answers else IGNORE for rank, each in enumerate(ids)])
    return RecallTask(tokenizer, inputs, targets)


def build_network(setting: Setting, vocab_size: int, seed: int) -> nn.Module:
    """Bâtit le réseau d’un réglage ; `seed` fixe ses poids. ValueError pour un n-gramme."""
    if setting.family == "transformer":
        sizes = (setting.d_model, setting.n_layers, setting.n_heads)
        options = {"rope_theta": ROPE_THETA, "tie_weights": False}
        model = llama(LlamaConfig(vocab_size, CONTEXT_LENGTH, *sizes, **options), seed)
        return scale_embeddings(model, EMBEDDING_STD)
    if setting.family != "lstm":
        raise ValueError(f"family = {setting.family!r} n’est pas un réseau : transformer ou lstm.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = (setting.d_model, setting.hidden_size, setting.n_layers)
        return RecurrentLM(vocab_size, *sizes, "lstm", tie_weights=False)


def scale_embeddings(model: Decoder, std: float) -> Decoder:
    """Donne à la table de plongement l’écart-type voulu, sans rien changer d’autre au tirage.

    Trop petite, elle se perd dans ce que le premier bloc ajoute, et le modèle tarde à recopier.
    """
    weight = model.embedding.tokens.weight
    with torch.no_grad():
        weight.mul_(std / weight.std())
    return model


def accuracy(model, tokenizer: WordTokenizer, prompts: list[RecallPrompt]) -> float:
    """Part des épreuves où le mot jugé le plus probable, parmi tous, est la réponse.

    `model` : un réseau ou un n-gramme. Les épreuves ont toutes la même longueur.
    """
    rows = [tokenizer.encode(" ".join(prompt.words)) for prompt in prompts]
    answers = [tokenizer.encode(prompt.answer)[0] for prompt in prompts]
    if isinstance(model, KneserNeyModel):
        guesses = [int(np.argmax(model.next_distribution(row))) for row in rows]
        return float(np.mean(np.equal(guesses, answers)))
    ids = torch.tensor([[tokenizer.bos_id, *row] for row in rows])  # (B, T)
    with torch.no_grad():
        guesses = model(ids)[:, -1].argmax(-1)  # (B,)
    return float((guesses == torch.tensor(answers)).double().mean())


def examine(model, tokenizer: WordTokenizer, n_prompts: int = N_PROMPTS) -> dict:
    """Toutes les épreuves d’un modèle fini : {famille: {nombre d’exemples: réussite}}."""

    def score(n_pairs: int, queries: str, form: str) -> float:
        prompts = generate_prompts(n_prompts, n_pairs, queries, form)
        return round(accuracy(model, tokenizer, prompts), 4)

    results = {
        queries: {str(n): score(n, queries, "direct") for n in COUNTS}
        for queries in ("known", "held_out")
    }
    for form in LIMIT_FORMS:
        results[form] = {str(n): score(n, "known", form) for n in LIMIT_COUNTS}
    return results


def last_word_levels(n_prompts: int = N_PROMPTS) -> dict[str, float]:
    """Clés de deux mots : réussite moyenne de qui ne lirait que le dernier mot."""
    prompts = {n: generate_prompts(n_prompts, n, form="two_words") for n in LIMIT_COUNTS}
    return {str(n): round(float(np.mean([1 / p.shared for p in prompts[n]])), 4) for n in prompts}


def train_network(
    setting: Setting,
    task: RecallTask,
    seed: int,
    n_steps: int,
    *,
    eval_every: int = EVAL_EVERY,
    progress: bool = True,
    stop_at: int | None = None,
) -> tuple[nn.Module, dict]:
    """Entraîne un réseau et relève sa réussite tous les `eval_every` pas : (réseau, mesures).

    Avec `stop_at`, on ne fait que les premiers des `n_steps` pas, à l’identique.
    """
    model = build_network(setting, task.tokenizer.vocab_size, seed)
    probes = {n: generate_prompts(N_CURVE_PROMPTS, n, "held_out", seed=1) for n in CURVE_COUNTS}
    measured = []  # temps passé à mesurer, que l’entraînement n’a pas à payer

    def evaluate(model):
        start = time.process_time()
        scores = {f"held_out_{n}": accuracy(model, task.tokenizer, probes[n]) for n in probes}
        measured.append(time.process_time() - start)
        return scores

    every = min(eval_every, n_steps)
    config = TrainingConfig(
        n_steps,
        setting.learning_rate,
        weight_decay=0.01,
        log_every=every,
        eval_every=every,
        seed=seed,
        n_threads=1,
    )
    start = time.process_time()
    history = train(
        model,
        task.batches(seed),
        config,
        loss=token_loss,
        evaluate=evaluate,
        progress=progress,
        stop_at=stop_at,
    )
    seconds = time.process_time() - start - sum(measured)
    points = [record for record in history.records if record.metrics]
    curve = {"step": [r.step for r in points], "loss": [round(r.loss, 4) for r in points]}
    curve |= {name: [round(r.metrics[name], 4) for r in points] for name in points[0].metrics}
    size = count_parameters(model)
    return model, {"size": size, "cpu_seconds": round(seconds, 1), "curve": curve}


def count_ngrams(setting: Setting, task: RecallTask) -> tuple[KneserNeyModel, dict]:
    """Compte les n-grammes des mêmes textes : (modèle, mesures)."""
    start = time.process_time()
    model = KneserNeyModel(setting.order, task.tokenizer.vocab_size, task.tokenizer.bos_id)
    model.fit([row[1:] for row in task.inputs])
    seconds = round(time.process_time() - start, 1)
    return model, {"size": model.n_entries, "cpu_seconds": seconds}


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Apprend et éprouve le modèle d’un réglage ; ou le niveau de qui ne lit que le dernier mot."""
    if name == LAST_WORD:
        return last_word_levels(budget.prompts)
    setting = next(each for each in SETTINGS if each.name == name)
    task = build_task(budget.steps * BATCH_SIZE, seed)
    if setting.family == "ngram":
        model, measures = count_ngrams(setting, task)
    else:
        model, measures = train_network(setting, task, seed, budget.steps)
    accuracies = examine(model, task.tokenizer, budget.prompts)
    return {"setting": asdict(setting)} | measures | {"accuracy": accuracies}


EXPERIMENT = Experiment(
    "in_context",
    "Mesure ce que des modèles savent faire d’exemples donnés dans le texte.",
    Budget(),
    [setting.name for setting in SETTINGS],
    measure,
    once=[LAST_WORD],
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
