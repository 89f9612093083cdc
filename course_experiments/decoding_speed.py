"""Écrire un jeton : à quelle vitesse, à quel prix pour la mémoire, avec quelle perte.

    python -m course_experiments.decoding_speed

Le même modèle réel, SmolLM2, dans sept habits : PyTorch, couches accélérées, noyaux numba, puis
poids sur 8 et 4 bits. Et le même en lots de plus en plus grands. Les temps sont ceux de l’horloge,
sur deux fils : ils n’ont de sens que sur une machine au repos, et seuls leurs rapports se comparent
d’une machine à l’autre. Le débit de la mémoire et le calcul maximal sont mesurés dans la foulée.
Les mesures vont dans `results/decoding_speed.json`.
"""

import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from course_experiments.experiment import Experiment
from course_lib.acceleration import NumbaReader, accelerate, quantize, weight_bytes
from course_lib.acceleration.linear import choose_threads, find_kernels
from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.corpora.sentences.parallel_texts import PARALLEL_TEXTS
from course_lib.evaluation.compression import compress
from course_lib.generation import CachedReader
from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.transformer import Decoder

PROMPT = (
    "On Saturday morning the market fills the square in front of the church. Farmers bring apples"
)


READERS = {"torch": CachedReader, "numba": NumbaReader}


@dataclass(frozen=True)
class Form:
    """Un habit du modèle : comment l’obtenir, et qui écrit."""

    name: str
    make: Callable[[Decoder], nn.Module]
    backend: str


FORMS = (
    Form("PyTorch, fp32", lambda model: model, "torch"),
    Form("couches accélérées, fp32", accelerate, "torch"),
    Form("numba, fp32", lambda model: model, "numba"),
    Form("numba, 8 bits", lambda model: quantize(model, 8), "numba"),
    Form("numba, 8 bits par 64", lambda model: quantize(model, 8, 64), "numba"),
    Form("numba, 4 bits par 32", lambda model: quantize(model, 4, 32), "numba"),
    Form(
        "numba, 4 bits par 32, tête sur 8",
        lambda model: quantize(model, 4, 32, head_bits=8),
        "numba",
    ),
)


@dataclass(frozen=True)
class Protocol:
    """Jetons écrits à chaque tour, tours, fils de calcul, tailles de lot."""

    n_tokens: int = 32
    rounds: int = 5
    n_threads: int = 2
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    bandwidth_megabytes: int = 512


def seconds_per_step(reader, batch_size: int, n_tokens: int) -> float:
    """Temps moyen d’un tour d’écriture, choix glouton, le lecteur ayant lu ses amorces."""
    ids = [1] * batch_size
    start = time.perf_counter()
    for _ in range(n_tokens):
        ids = reader.step(ids).argmax(dim=-1).tolist()
    return (time.perf_counter() - start) / n_tokens


def memory_bandwidth(megabytes: int) -> float:
    """Octets par seconde d’une lecture continue : le meilleur de cinq passages."""
    values = np.ones(megabytes * 2**18, np.float32)
    n_threads, read = choose_threads(values.nbytes), find_kernels().read_all
    read(values, n_threads)  # compile
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read(values, n_threads)
        times.append(time.perf_counter() - start)
    return values.nbytes / min(times)


def peak_flops(size: int = 1024) -> float:
    """Opérations par seconde du produit de matrices de PyTorch : le meilleur de dix."""
    a = torch.randn(size, size)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def measure_forms(
    model: Decoder, prompt: Sequence[int], protocol: Protocol, forms: Sequence[Form] = FORMS
) -> dict[str, dict]:
    """Une phrase à la fois : débit et octets lus par jeton de chaque habit, à tour de rôle.

    Le débit de la mémoire est mesuré à chaque tour : `share` rapporte les octets lus par seconde à
    celui du même tour, car une machine n’a pas le même d’une minute à l’autre.
    """
    n_positions = len(prompt) + protocol.rounds * protocol.n_tokens + 4
    readers, sizes = {}, {}
    for form in tqdm(forms, desc="Habits"):
        dressed = form.make(model)
        readers[form.name] = READERS[form.backend](dressed, [prompt], n_positions)
        sizes[form.name] = weight_bytes(dressed)
        readers[form.name].start()
        readers[form.name].step([1])  # compile
    times: dict[str, list[float]] = {name: [] for name in readers}
    bandwidths = []
    for _ in tqdm(range(protocol.rounds), desc="Tours"):
        bandwidths.append(memory_bandwidth(protocol.bandwidth_megabytes))
        for name, reader in readers.items():
            times[name].append(seconds_per_step(reader, 1, protocol.n_tokens))
    return {
        name: {
            "tokens_per_second": 1 / statistics.median(values),
            "weight_bytes": sizes[name],
            "bytes_per_second": sizes[name] / statistics.median(values),
            "share": statistics.median(
                sizes[name] / seconds / bandwidth
                for seconds, bandwidth in zip(values, bandwidths, strict=True)
            ),
        }
        for name, values in times.items()
    }


def measure_batches(model: Decoder, prompt: Sequence[int], protocol: Protocol) -> dict[str, dict]:
    """Plusieurs phrases à la fois, avec PyTorch et avec les noyaux : débit de l’ensemble."""
    found: dict[str, dict] = {}
    for backend in ("torch", "numba"):
        for batch in tqdm(protocol.batch_sizes, desc=f"Lots, {backend}"):
            n_tokens = max(8, 2 * protocol.n_tokens // batch)
            n_positions = len(prompt) + 3 * n_tokens + 4
            reader = READERS[backend](model, [prompt] * batch, n_positions)
            reader.start()
            reader.step([1] * batch)
            times = [seconds_per_step(reader, batch, n_tokens) for _ in range(3)]
            found.setdefault(backend, {})[str(batch)] = batch / statistics.median(times)
    return found


def measure_quality(model: Decoder, tokenizer, start_id: int) -> dict[str, dict]:
    """Perplexité de chaque habit aux poids différents, sur les textes du cours."""
    found = {}
    for form in tqdm(FORMS, desc="Qualité"):
        if form.backend == "torch" and form.make is accelerate:
            continue
        dressed = form.make(model)
        found[form.name] = {
            language: compress(dressed, tokenizer, texts, start_id).perplexity
            for language, texts in (
                ("english", [text.english for text in PARALLEL_TEXTS]),
                ("french", [text.french for text in PARALLEL_TEXTS]),
            )
        }
    return found


def measure(name: str, repetition: int, protocol: Protocol) -> dict:
    """Toutes les mesures."""
    smollm = load_pretrained(smollm2_path(), 512)
    prompt = smollm.tokenizer.encode(PROMPT)
    return {
        "bandwidth": memory_bandwidth(protocol.bandwidth_megabytes),
        "peak_flops": peak_flops(),
        "forms": measure_forms(smollm.model, prompt, protocol),
        "batches": measure_batches(smollm.model, prompt, protocol),
        "quality": measure_quality(smollm.model, smollm.tokenizer, 0),
        "bandwidth_after": memory_bandwidth(protocol.bandwidth_megabytes),
    }


def add_options(parser: FrenchArgumentParser) -> None:
    """Le nombre de tours."""
    parser.add_argument("--rounds", type=positive_int, default=5, help="tours (5)")


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """Le protocole au nombre de tours demandé."""
    return replace(experiment, settings=replace(experiment.settings, rounds=options.rounds))


EXPERIMENT = Experiment(
    "decoding_speed",
    "Mesure la vitesse d’écriture de SmolLM2. Machine au repos, de préférence.",
    Protocol(),
    ["SmolLM2"],
    measure,
    seeds=[0],
    seeds_option=("--repetitions", "répétitions de toutes les mesures"),
    digits=6,
    n_threads=Protocol().n_threads,
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
