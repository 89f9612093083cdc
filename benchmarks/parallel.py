"""Vitesse d’un, puis de deux processus, pour chaque façon de partager un entraînement.

    python benchmarks/parallel.py [--sizes 500k 5M] [--steps 20] [--repetitions 3]

Même modèle, même lot global, un fil de calcul par processus. Le temps est celui de l’horloge, pas
du processeur : attendre l’autre fait partie du coût. Les façons passent à tour de rôle, et l’on
garde la médiane. L’efficacité rapporte le débit de deux processus à deux fois celui d’un seul ;
elle n’a de sens que sur une machine au repos. Les octets d’un pas sont comptés pendant deux pas à
part, et comparés à la formule de `course_lib.parallel.volumes`.
"""

import statistics
import time
from pathlib import Path

import torch
from report import markdown_table, write_report

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
from course_lib.training.arguments import FrenchArgumentParser, positive_int
from course_lib.transformer import LlamaConfig, count_parameters, llama
from course_lib.typography import format_number, format_percent

VOCAB_SIZE, CONTEXT, BATCH = 512, 128, 8
SHAPES = {
    "500k": {"d_model": 128, "n_layers": 2, "n_heads": 4, "d_ff": 352},
    "5M": {"d_model": 320, "n_layers": 4, "n_heads": 8, "d_ff": 864},
}
REPORT = Path(__file__).parent / "resultats" / "parallel.md"


def measure(name: str, strategy: str | None, n_steps: int) -> tuple[float, Volume | None]:
    """Jetons par seconde d’un entraînement, et volume échangé par pas, dans un processus."""
    ids = torch.randint(VOCAB_SIZE, (200_000,), generator=torch.Generator().manual_seed(0))
    data = TokenStream(ids, CONTEXT, BATCH)
    workers = build_team(strategy) if strategy else None
    model = llama(LlamaConfig(VOCAB_SIZE, CONTEXT, **SHAPES[name]))
    options = {"progress": False, "workers": workers}
    volume = None
    with CommunicationMeter() as meter:  # échauffe aussi la machine
        train(model, data, TrainingConfig(n_steps=2, n_threads=1), **options)
    if workers is not None:
        total = meter.volume(workers.n_workers)
        volume = Volume(2, total.all_reduce // 2, total.all_gather // 2, total.reduce_scatter // 2)
        model = llama(LlamaConfig(VOCAB_SIZE, CONTEXT, **SHAPES[name]))
    start = time.perf_counter()
    train(model, data, TrainingConfig(n_steps=n_steps, n_threads=1), **options)
    return n_steps * BATCH * CONTEXT / (time.perf_counter() - start), volume


def expected_volume(name: str, strategy: str) -> Volume:
    """Le volume que la formule annonce pour un pas de deux processus."""
    model = llama(LlamaConfig(VOCAB_SIZE, CONTEXT, **SHAPES[name]))
    if strategy == "tensor":
        return tensor_parallel_volume(model, BATCH * CONTEXT, 2)
    return {"ddp": data_parallel_volume, "fsdp": fully_sharded_volume}[strategy](model, 2)


def compare(name: str, n_steps: int, repetitions: int) -> list[list[str]]:
    """Les quatre lignes d’une taille : un processus, puis deux de chaque façon."""
    rates = {strategy: [] for strategy in (None, *STRATEGIES)}
    volumes = {}
    for _ in range(repetitions):
        for strategy in rates:
            n_workers = 1 if strategy is None else 2
            results = run_processes(measure, n_workers, name, strategy, n_steps)
            rates[strategy].append(min(rate for rate, _ in results))
            volumes[strategy] = results[0][1]
    size = format_number(
        count_parameters(llama(LlamaConfig(VOCAB_SIZE, CONTEXT, **SHAPES[name]))), 0
    )
    alone = statistics.median(rates[None])
    rows = [[size, "un seul", format_number(alone, 0), "1,00", "", ""]]
    for strategy in STRATEGIES:
        assert volumes[strategy] == expected_volume(name, strategy)
        rate = statistics.median(rates[strategy])
        cells = (format_number(rate, 0), format_number(rate / alone, 2))
        sent = format_number(volumes[strategy].sent_bytes / 1e6, 2)
        rows.append([size, strategy, *cells, format_percent(rate / alone / 2), sent])
    return rows


def main() -> None:
    """Compare chaque taille et écrit le tableau."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES), help="formes")
    parser.add_argument("--steps", type=positive_int, default=20, help="pas par mesure")
    parser.add_argument("--repetitions", type=positive_int, default=3, help="nombre de tours")
    options = parser.parse_args()
    rows = [
        row for name in options.sizes for row in compare(name, options.steps, options.repetitions)
    ]
    headers = [
        "paramètres",
        "partage",
        "jetons/s",
        "accélération",
        "efficacité",
        "Mo envoyés par pas et par processus",
    ]
    write_report(
        REPORT,
        "Entraînement à plusieurs processus",
        f"Un ou deux processus, un fil chacun, sur une machine ; lots de {BATCH} × {CONTEXT} "
        f"jetons, vocabulaire de {VOCAB_SIZE}, {options.steps} pas, médiane de "
        f"{options.repetitions} tours. Les octets comptés sont ceux de la formule.",
        markdown_table(headers, rows),
    )


if __name__ == "__main__":
    main()
