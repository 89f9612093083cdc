"""La loi de taille sur du vrai français : six tailles, les mêmes romans, plusieurs graines.

    python -m course_experiments.romancier.size_law --novels DOSSIER --tuning    taux comparés
    python -m course_experiments.romancier.size_law --novels DOSSIER             les mesures

Six modèles de type Llama, de 27 000 à 3 millions de paramètres hors table de plongement, apprennent
à prédire un extrait de chaque roman, lu une fois au plus ; deux lectures, « court » et, deux fois
plus longue, « long », que la plus grande taille ne fait pas. La perte se mesure sur cinq romans
jamais lus. Le vocabulaire, appris sur ces extraits, est petit (512 jetons) : avec un grand, la
table de plongement serait l’essentiel des petits modèles, et l’on comparerait des vocabulaires. Le
taux suit une seule règle, que des essais encadrent à la lecture courte, à la graine 0, sur d’autres
romans. Les mesures vont dans `results/romancier.size_law.json`, une à une : une commande
interrompue reprend où elle en était. Le relevé livré a trois graines à la lecture courte, deux à la
longue ; `--seeds 2` fait ce qui manque.
"""

import time
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import CLEAN, add_novels_option, read_novels, with_novels
from course_experiments.romancier.passages import checked_text, fingerprints
from course_lib.arguments import FrenchArgumentParser
from course_lib.scaling import PowerLaw, fit_power_law
from course_lib.tokenization import BPETokenizer
from course_lib.training import TokenStream, TrainingConfig, evaluate_loss, train
from course_lib.transformer import LlamaConfig, count_parameters, llama

SHAPES = ((32, 2), (48, 3), (64, 4), (112, 3), (160, 4), (224, 5))  # (largeur, blocs)
READINGS = SHORT, LONG = "court", "long"
SHAPES_OF = {SHORT: SHAPES, LONG: SHAPES[:-1]}  # la lecture longue coûte deux fois plus
TRIED, FACTORS = (SHAPES[0], SHAPES[3]), (0.5, 2.0)  # essais autour de la règle


@dataclass(frozen=True)
class Protocol:
    """Ce dont les mesures dépendent.

    short, long jetons lus, chacun une fois au plus
    excerpt     signes pris au milieu de chaque roman d’entraînement ; `held_out` : de chaque roman
                de la mesure ; un roman d’entraînement sur `every` sert à comparer les taux
    rate        taux d’apprentissage de la lecture courte, à la largeur `width` ; il varie en raison
                inverse de la largeur, et la lecture longue en prend la moitié
    """

    short: int = 102_400
    long: int = 204_800
    vocab_size: int = 512
    excerpt: int = 4_000
    held_out: int = 8_000
    every: int = 48
    context_length: int = 128
    batch_size: int = 4
    rate: float = 5e-3
    width: int = 128
    max_warmup: int = 50


@dataclass(frozen=True)
class Corpus:
    """Le découpage et les textes numérotés : lu, comparé (les taux), mesuré."""

    tokenizer: BPETokenizer
    read: list[int]
    validation: list[int]
    held_out: list[int]
    held_out_characters: int


@lru_cache(maxsize=1)
def read_corpus(novels: Path, protocol: Protocol) -> Corpus:
    """Un extrait de chaque roman, numéroté par un vocabulaire appris sur ce qui est lu."""
    known = fingerprints()

    def excerpts(role: str, length: int) -> list[str]:
        texts = (checked_text(novel, known) for novel in read_novels(novels, role))
        return [text[max(0, (len(text) - length) // 2) :][:length] for text in texts]

    training = excerpts("training", protocol.excerpt)
    validation = training[:: protocol.every]
    read = [text for rank, text in enumerate(training) if rank % protocol.every]
    held_out = excerpts(CLEAN, protocol.held_out)
    tokenizer = BPETokenizer.train(read, protocol.vocab_size)

    def encode(texts: Iterable[str]) -> list[int]:
        return tokenizer.encode("\n".join(texts))

    n_characters = len("\n".join(held_out))
    return Corpus(tokenizer, encode(read), encode(validation), encode(held_out), n_characters)


def shape(d_model: int, n_layers: int, protocol: Protocol) -> LlamaConfig:
    """La configuration d’une taille : des têtes de 16 nombres, le reste comme Llama."""
    sizes = (protocol.vocab_size, protocol.context_length, d_model, n_layers)
    return LlamaConfig(*sizes, n_heads=d_model // 16)


def rate_for(d_model: int, reading: str, protocol: Protocol) -> float:
    """Le taux d’une largeur : un réseau étroit, ou qui lit peu, demande de plus grands pas."""
    share = 0.5 if reading == LONG else 1.0
    return share * protocol.rate * protocol.width / d_model


def learn(
    config: LlamaConfig, reading: str, seed: int, corpus: Corpus, protocol: Protocol, factor=1.0
) -> dict:
    """Un entraînement : pertes (nats par jeton), bits par signe, temps de calcul."""
    model = llama(config, seed)
    n_tokens = protocol.long if reading == LONG else protocol.short
    length, size = protocol.context_length, protocol.batch_size
    stream = TokenStream(corpus.read, length, size, seed)
    n_steps = n_tokens // (length * size)
    start = time.process_time()
    history = train(
        model,
        stream,
        TrainingConfig(
            n_steps,
            factor * rate_for(config.d_model, reading, protocol),
            warmup_steps=min(protocol.max_warmup, n_steps // 10),
            log_every=max(1, n_steps // 10),
            seed=seed,
            n_threads=1,
        ),
    )
    seconds = time.process_time() - start
    losses = {
        name: evaluate_loss(model, TokenStream(text, length, 32))
        for name, text in (("validation", corpus.validation), ("held_out", corpus.held_out))
    }
    return {
        "parameters": count_parameters(model),
        "without_embeddings": count_parameters(model) - config.vocab_size * config.d_model,
        "learning_rate": factor * rate_for(config.d_model, reading, protocol),
        "steps": n_steps,
        "training_loss": history.records[-1].loss,
        "validation_loss": losses["validation"],
        "loss": losses["held_out"],
        "tokens_per_character": len(corpus.held_out) / corpus.held_out_characters,
        "cpu_seconds": round(seconds),
    }


def run_name(size: tuple[int, int], reading: str) -> str:
    """« 64×4 court »."""
    return f"{size[0]}×{size[1]} {reading}"


def trials_wanted(runs: dict) -> list[str]:
    """Les essais de taux : la moitié et le double de la règle, à la lecture courte."""
    return [f"{run_name(size, SHORT)} taux ×{factor:g}" for size in TRIED for factor in FACTORS]


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """Une taille et une lecture, ou un essai de taux."""
    sizes, reading, *trial = name.split()
    d_model, n_layers = map(int, sizes.split("×"))
    factor = float(trial[1].lstrip("×")) if trial else 1.0
    corpus = read_corpus(novels, protocol)
    return learn(shape(d_model, n_layers, protocol), reading, seed, corpus, protocol, factor)


def seeds_of(runs: dict, reading: str) -> list[str]:
    """Les graines que toutes les tailles ont, à cette lecture."""
    found = [set(runs[run_name(size, reading)]) for size in SHAPES_OF[reading]]
    return sorted(set.intersection(*found))


def points(runs: dict, reading: str) -> tuple[list[float], list[float]]:
    """(paramètres hors table de plongement, perte) de chaque taille et de chaque graine."""
    seeds = seeds_of(runs, reading)
    found = [runs[run_name(s, reading)][seed] for s in SHAPES_OF[reading] for seed in seeds]
    return [run["without_embeddings"] for run in found], [run["loss"] for run in found]


def law(runs: dict, reading: str, floor: bool = False) -> PowerLaw:
    """La loi de puissance de cette lecture, avec ou sans plancher, et ses intervalles."""
    return fit_power_law(*points(runs, reading), floor=floor)


def inversions(runs: dict, reading: str) -> list[tuple[str, str, str]]:
    """Les (graine, petit, grand) où le plus grand de deux modèles voisins ne fait pas mieux."""
    names = [run_name(size, reading) for size in SHAPES_OF[reading]]
    return [
        (seed, small, large)
        for small, large in pairwise(names)
        for seed in seeds_of(runs, reading)
        if runs[large][seed]["loss"] >= runs[small][seed]["loss"]
    ]


def run_names(readings: Iterable[str] = READINGS) -> list[str]:
    """Les noms du relevé, lecture par lecture, du plus petit modèle au plus grand."""
    return [run_name(size, reading) for reading in readings for size in SHAPES_OF[reading]]


def add_options(parser: FrenchArgumentParser) -> None:
    """Le dossier des romans, et les lectures à mesurer."""
    add_novels_option(parser)
    usual, what = list(READINGS), f"lectures ({' '.join(READINGS)})"
    parser.add_argument("--readings", nargs="+", choices=READINGS, default=usual, help=what)


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience sur ces romans, aux lectures demandées."""
    return with_novels(replace(experiment, names=run_names(options.readings)), options)


EXPERIMENT = Experiment(
    name="romancier.size_law",
    description="Mesure ce que la taille achète, sur les mêmes romans.",
    settings=Protocol(),
    names=run_names(),
    measure=measure,
    seeds=(0, 1),
    tuning=trials_wanted,
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
