"""N-gramme, réseaux récurrents, Transformer : le même texte français, lettre par lettre.

    python -m course_experiments.french_families --corpus moliere.txt --tuning   les taux (graine 0)
    python -m course_experiments.french_families --corpus moliere.txt            le chapitre 00

Chaque modèle lit une fois trois cent mille caractères ; les trois réseaux ont autant de paramètres.
La mesure est en bits par caractère, sur la fin du texte, que personne n’a lue ; le romancier la lit
aussi, hors concours. Chaque réseau essaie
un taux, puis ses voisins, tant que le meilleur n’est pas entre deux autres : à la graine 0, sur une
validation distincte de la mesure. Le texte n’est pas livré : on en donne le fichier, dont
l’empreinte est dans le relevé. Les mesures vont dans `results/french_families.json` ; une commande
interrompue reprend où elle en était.
"""

import math
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

from course_experiments.experiment import Experiment
from course_experiments.optimizers import MOLIERE
from course_lib.arguments import FrenchArgumentParser
from course_lib.commands.characters import array_encoder, train_characters
from course_lib.commands.text_pieces import TextFile
from course_lib.evaluation.sliding import sliding_nats, sliding_windows
from course_lib.models.shipped import load_romancier
from course_lib.ngram import KneserNeyModel
from course_lib.recurrent import RecurrentLM
from course_lib.training import TokenStream, TrainingConfig, train
from course_lib.transformer import LlamaConfig, count_parameters, evaluating, llama

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3)
ORDERS = (2, 3, 4, 5, 6, 7, 8)
FAMILIES = ("LSTM", "GRU", "Transformer")
NOVELIST = "romancier"  # hors concours : cent fois plus gros, et nourri d’autres textes
CHOSEN = {"LSTM": 32e-3, "GRU": 32e-3, "Transformer": 4e-3}  # les meilleurs, d’après la validation
FIRST_TRIED = {"LSTM": 32e-3, "GRU": 16e-3, "Transformer": 4e-3}


@dataclass(frozen=True)
class Plan:
    """Ce que toutes les mesures partagent ; `text` : l’empreinte SHA-256 du texte lu.

    Le texte se lit du début ; les deux derniers morceaux de `n_held_out` caractères sont réservés,
    l’un à la validation, l’autre à la mesure.
    """

    text: str = MOLIERE
    n_read: int = 300_000
    n_held_out: int = 30_000
    context_length: int = 128
    batch_size: int = 8
    d_embedding: int = 64
    lstm_size: int = 236
    gru_size: int = 276
    d_model: int = 96
    n_layers: int = 3
    n_heads: int = 6
    d_ff: int = 216


@dataclass(frozen=True)
class Corpus:
    """Un texte numéroté lettre par lettre : ce qui est lu, la validation, la mesure."""

    vocab_size: int
    read: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    test_text: str


def read_corpus(file: TextFile, plan: Plan) -> Corpus:
    """Numérote le texte ; ValueError s’il est plus court que ce que le plan demande."""
    text = "".join(file.pieces())
    if len(text) < (wanted := plan.n_read + 2 * plan.n_held_out):
        raise ValueError(
            f"Ce texte compte {len(text)} caractères : il en faut {wanted}, {plan.n_read} à lire "
            f"et deux fois {plan.n_held_out} réservés. Donnez un texte plus long."
        )
    tokenizer = train_characters([text])
    ids, n = array_encoder(tokenizer)(text), plan.n_held_out
    return Corpus(tokenizer.vocab_size, ids[: plan.n_read], ids[-2 * n : -n], ids[-n:], text[-n:])


def build_model(family: str, vocab_size: int, seed: int, plan: Plan) -> nn.Module:
    """Un réseau neuf : autant de paramètres pour chaque famille, à un pour cent près."""
    if family == "Transformer":
        sizes = (plan.d_model, plan.n_layers, plan.n_heads)
        config = LlamaConfig(vocab_size, plan.context_length, *sizes, d_ff=plan.d_ff)
        return llama(config, seed)
    width = {"LSTM": plan.lstm_size, "GRU": plan.gru_size}[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecurrentLM(vocab_size, plan.d_embedding, width, cell=family.lower())


@torch.no_grad()
def bits_per_character(model: nn.Module, ids: np.ndarray, plan: Plan) -> float:
    """Surprise moyenne ; hors du tout début, chaque caractère en a au moins 64 devant lui."""
    total, length = 0.0, plan.context_length
    text = torch.as_tensor(ids)
    windows = list(sliding_windows(len(ids) - 1, length))
    with evaluating(model):
        for first in range(0, len(windows), 4 * plan.batch_size):
            starts, counted = zip(*windows[first : first + 4 * plan.batch_size], strict=True)
            rows = torch.stack([text[s : s + length + 1] for s in starts])
            log_probs = model(rows[:, :-1]).log_softmax(-1)  # (B, T, V)
            nats = -log_probs.gather(-1, rows[:, 1:, None])[..., 0]  # (B, T)
            total += sum(float(row[n:].sum()) for row, n in zip(nats, counted, strict=True))
    return total / (len(ids) - 1) / math.log(2)


def learn(family: str, rate: float, corpus: Corpus, seed: int, plan: Plan) -> dict:
    """Un entraînement : taille, temps, et bits par caractère de la validation et de la mesure."""
    model = build_model(family, corpus.vocab_size, seed, plan)
    data = TokenStream(corpus.read, plan.context_length, plan.batch_size, seed)
    n_steps = plan.n_read // data.tokens_per_step
    start = time.process_time()
    train(model, data, TrainingConfig(n_steps, rate, seed=seed, n_threads=1))
    seconds = time.process_time() - start
    return {
        "size": count_parameters(model),
        "steps": n_steps,
        "characters": n_steps * data.tokens_per_step,
        "cpu_seconds": seconds,
        "validation": bits_per_character(model, corpus.validation, plan),
        "test": bits_per_character(model, corpus.test, plan),
    }


def count(order: int, corpus: Corpus) -> dict:
    """Un n-gramme : sa taille est le nombre de n-grammes qu’il garde."""
    start = time.process_time()
    model = KneserNeyModel(order, corpus.vocab_size).fit([corpus.read])
    seconds = time.process_time() - start

    def bits(ids: np.ndarray) -> float:
        return -float(model.log_probs(ids)[1:].mean()) / math.log(2)

    return {
        "size": model.n_entries,
        "characters": len(corpus.read),
        "cpu_seconds": seconds,
        "validation": bits(corpus.validation),
        "test": bits(corpus.test),
    }


def read_by_the_novelist(corpus: Corpus) -> dict:
    """Le romancier, qui n’a pas lu ce texte, devant la mesure."""
    model, tokenizer = load_romancier()
    ids = tokenizer.encode(corpus.test_text)
    characters = len(tokenizer.decode(ids[1:]))
    bits = sliding_nats(model, ids) / math.log(2)
    return {"size": count_parameters(model), "test": bits / characters}


def run_name(family: str, rate: float) -> str:
    """« LSTM 0.008 »."""
    return f"{family} {rate:g}"


def trials(runs: dict) -> Iterator[str]:
    """Les taux à essayer : le premier, puis les voisins du meilleur, le plus fort d’abord."""
    for family, rate in FIRST_TRIED.items():
        tried = {
            r: runs[name]["0"]["validation"]
            for r in RATES
            if "0" in runs.get(name := run_name(family, r), {})
        }
        place = RATES.index(min(tried, key=tried.get) if tried else rate)
        near = RATES[max(0, place - 1) : place + 2] if tried else (rate,)
        yield from (run_name(family, r) for r in RATES[::-1] if r in near or r in tried)


def measure(file: TextFile, name: str, seed: int, plan: Plan) -> dict:
    """Une mesure : le romancier, « 5-gramme », ou une famille et son taux."""
    corpus = read_corpus(file, plan)
    if name == NOVELIST:
        return read_by_the_novelist(corpus)
    if name.endswith("-gramme"):
        return count(int(name.split("-")[0]), corpus)
    family, rate = name.split()
    return learn(family, float(rate), corpus, seed, plan)


def add_options(parser: FrenchArgumentParser) -> None:
    """Le texte."""
    parser.add_argument("--corpus", required=True, metavar="FICHIER", help="le texte à apprendre")


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience sur ce texte."""
    file = TextFile(options.corpus)
    return replace(
        experiment,
        settings=replace(experiment.settings, text=file.sha256),
        measure=partial(measure, file),
    )


EXPERIMENT = Experiment(
    "french_families",
    "Compare n-grammes, LSTM, GRU et Transformer sur un texte français, lettre par lettre.",
    Plan(),
    [run_name(family, rate) for family, rate in CHOSEN.items()],
    measure,  # celle du texte qu’`adapt` ouvre
    once=[NOVELIST, *(f"{order}-gramme" for order in ORDERS)],
    tuning=trials,
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
