"""La vitesse d’un, puis de deux processus, pour chaque façon de partager un entraînement.

    python -m course_experiments.parallel_speed --repetitions 0 1 2

Même modèle, même lot global, un fil de calcul par processus. Le temps est celui de l’horloge, pas
du processeur : attendre l’autre fait partie du coût. L’accélération n’a de sens que sur une machine
au repos. Les octets d’un pas sont comptés pendant deux pas à part. Les mesures vont dans
`results/parallel_speed.json` ; une commande interrompue reprend où elle en était.
"""

import statistics
import time
from dataclasses import dataclass

import torch

from course_experiments.experiment import Experiment
from course_lib.parallel import (
    STRATEGIES,
    CommunicationMeter,
    Volume,
    build_team,
    data_parallel_volume,
    fully_sharded_volume,
    run_processes,
    tensor_parallel_volume,
)
from course_lib.training import TokenStream, TrainingConfig, train
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

ALONE = "un seul"
SHAPES = {
    "500k": {"d_model": 128, "n_layers": 2, "n_heads": 4, "d_ff": 352},
    "5M": {"d_model": 320, "n_layers": 4, "n_heads": 8, "d_ff": 864},
}


@dataclass(frozen=True)
class Load:
    """Ce que chaque processus calcule : un lot de textes tirés au sort, et le nombre de pas."""

    vocab_size: int = 512
    context_length: int = 128
    batch_size: int = 8
    n_steps: int = 20

    def model(self, size: str) -> Decoder:
        """Le modèle de cette taille, toujours le même."""
        return llama(LlamaConfig(self.vocab_size, self.context_length, **SHAPES[size]))


def train_once(size: str, strategy: str, load: Load) -> tuple[float, Volume | None]:
    """Dans un processus : jetons par seconde, et volume échangé par pas (None s’il est seul)."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(load.vocab_size, (200_000,), generator=draw)
    data = TokenStream(ids, load.context_length, load.batch_size)
    workers = None if strategy == ALONE else build_team(strategy)
    options = {"progress": False, "workers": workers}
    with CommunicationMeter() as meter:  # échauffe aussi la machine
        train(load.model(size), data, TrainingConfig(n_steps=2, n_threads=1), **options)
    volume = None
    if workers is not None:
        total = meter.volume(workers.n_workers)
        volume = Volume(2, total.all_reduce // 2, total.all_gather // 2, total.reduce_scatter // 2)
    model = load.model(size)
    start = time.perf_counter()
    train(model, data, TrainingConfig(n_steps=load.n_steps, n_threads=1), **options)
    n_tokens = load.n_steps * load.batch_size * load.context_length
    return n_tokens / (time.perf_counter() - start), volume


def expected_volume(size: str, strategy: str, load: Load) -> Volume:
    """Le volume que la formule annonce pour un pas de deux processus."""
    model = load.model(size)
    if strategy == "tensor":
        return tensor_parallel_volume(model, load.batch_size * load.context_length, 2)
    return {"ddp": data_parallel_volume, "fsdp": fully_sharded_volume}[strategy](model, 2)


def run(size: str, strategy: str, load: Load) -> dict:
    """Une mesure : débit (celui du plus lent) et octets envoyés par pas et par processus."""
    results = run_processes(train_once, 1 if strategy == ALONE else 2, size, strategy, load)
    volume = results[0][1]
    return {
        "parameters": count_parameters(load.model(size)),
        "tokens_per_second": min(rate for rate, _ in results),
        "sent_bytes": 0 if volume is None else volume.sent_bytes,
        "expected_bytes": 0 if volume is None else expected_volume(size, strategy, load).sent_bytes,
    }


def speed_ups(records: dict, size: str) -> dict[str, float]:
    """Pour chaque façon de partager : débit de deux processus sur débit d’un seul (médianes)."""

    def rate(strategy: str) -> float:
        runs = records["runs"][f"{size} {strategy}"].values()
        return statistics.median(one["tokens_per_second"] for one in runs)

    return {strategy: rate(strategy) / rate(ALONE) for strategy in STRATEGIES}


def measure(name: str, repetition: int, load: Load) -> dict:
    """Une taille et une façon de partager : « 5M ddp »… ; elles passent à tour de rôle."""
    return run(*name.split(" ", 1), load)


EXPERIMENT = Experiment(
    "parallel_speed",
    "Mesure la vitesse d’un et de deux processus. Machine au repos, de préférence.",
    Load(),
    [f"{size} {strategy}" for size in SHAPES for strategy in (ALONE, *STRATEGIES)],
    measure,
    seeds_option=("--repetitions", "tours"),
    digits=1,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
