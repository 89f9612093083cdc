"""Le même entraînement, seul puis à deux : mêmes poids, et les octets que l’on s’échange.

    python -m course_experiments.two_processes

Un petit décodeur fait quelques pas sur un texte inventé. Un processus seul les fait, puis deux
processus, de chacune des façons de partager (`STRATEGIES` de `course_lib.parallel`). On compare les
poids obtenus, et les octets comptés à ceux des formules.
"""

from dataclasses import dataclass

import torch

from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.commands.failures import run_command
from course_lib.parallel import (
    STRATEGIES,
    CommunicationMeter,
    build_team,
    data_parallel_volume,
    fully_sharded_volume,
    run_processes,
    tensor_parallel_volume,
)
from course_lib.training import TokenStream, TrainingConfig, train
from course_lib.transformer import Decoder, LlamaConfig, llama
from course_lib.typography import format_number

SHAPE = LlamaConfig(61, 16, d_model=24, n_layers=2, n_heads=4, d_ff=64)
BATCH_SIZE, N_STEPS, LEARNING_RATE, SEED = 4, 30, 3e-3, 0
N_WORKERS = 2


@dataclass(frozen=True)
class Outcome:
    """Ce que rend un entraînement : ses pertes, ses poids mis bout à bout, ses échanges.

    `calls` et `payload` : nombre d’échanges et octets échangés, par sorte.
    """

    losses: tuple[float, ...]
    weights: torch.Tensor
    calls: dict[str, int]
    payload: dict[str, int]


def source() -> TokenStream:
    """Un texte inventé : chaque jeton avance de 7 ou de 8, modulo 61."""
    ids = [(7 * i + i // 5) % 61 for i in range(2000)]
    return TokenStream(ids, SHAPE.context_length, BATCH_SIZE, SEED)


def build(dtype: torch.dtype) -> Decoder:
    """Le petit décodeur, toujours le même."""
    return llama(SHAPE, SEED).to(dtype)


def train_once(
    strategy: str | None, n_steps: int = N_STEPS, dtype: torch.dtype = torch.float32
) -> Outcome:
    """Entraîne, seul (None) ou avec l’équipe de ce processus, et compte les échanges.

    Le volume est celui de `n_steps` pas ; la diffusion des poids, au départ, est une autre sorte
    (« broadcast »).
    """
    workers = build_team(strategy) if strategy else None
    model = build(dtype)
    settings = TrainingConfig(n_steps, LEARNING_RATE, seed=SEED, n_threads=1, log_every=1)
    with CommunicationMeter() as meter:
        history = train(model, source(), settings, workers=workers, progress=False)
    if workers is not None:
        model = workers.whole_model(model, lambda: build(dtype))
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    losses = tuple(record.loss for record in history.records)
    return Outcome(losses, weights, dict(meter.calls), dict(meter.payload))


def train_together(
    n_steps: int = N_STEPS, dtype: torch.dtype = torch.float32
) -> dict[str, Outcome]:
    """Dans chaque processus de l’équipe : un entraînement par façon de partager."""
    return {strategy: train_once(strategy, n_steps, dtype) for strategy in STRATEGIES}


def expected_payload(
    strategy: str, n_steps: int = N_STEPS, dtype: torch.dtype = torch.float32
) -> dict[str, int]:
    """Les octets que les formules annoncent pour ces pas, par sorte d’échange."""
    model = build(dtype)
    volume = {
        "ddp": lambda: data_parallel_volume(model, N_WORKERS),
        "fsdp": lambda: fully_sharded_volume(model, N_WORKERS),
        "tensor": lambda: tensor_parallel_volume(
            model, BATCH_SIZE * SHAPE.context_length, N_WORKERS
        ),
    }[strategy]()
    volume *= n_steps
    kinds = ("all_reduce", "all_gather", "reduce_scatter")
    return {kind: getattr(volume, kind) for kind in kinds if getattr(volume, kind)}


def compare(
    n_steps: int = N_STEPS, dtype: torch.dtype = torch.float32
) -> tuple[Outcome, list[dict[str, Outcome]]]:
    """L’entraînement d’un processus seul, et ceux de chacun des deux processus.

    Les sommes ne se font pas dans le même ordre : l’écart est un arrondi de `dtype`, qu’AdamW
    grossit là où un gradient est presque nul.
    """
    alone = train_once(None, n_steps, dtype)
    return alone, run_processes(train_together, N_WORKERS, n_steps, dtype)


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.two_processes",
        description="Compare un entraînement à deux processus au même entraînement à un seul.",
    )
    parser.add_argument("--steps", type=positive_int, default=N_STEPS, help="pas d’entraînement")
    options = parser.parse_args(arguments)
    return run_command(lambda: print_gaps(options.steps))


def print_gaps(n_steps: int) -> None:
    """Affiche, par façon de partager, l’écart aux poids d’un seul et les octets échangés."""
    alone, both = compare(n_steps)
    for strategy, label in STRATEGIES.items():
        gap = max(float((r[strategy].weights - alone.weights).abs().max()) for r in both)
        sent = sum(both[0][strategy].payload.get(k, 0) for k in expected_payload(strategy))
        print(f"{label} : écart {gap:.1e}, {format_number(sent / 1e3, 0)} ko échangés")


if __name__ == "__main__":
    raise SystemExit(main())
