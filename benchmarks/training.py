"""Vitesse d’entraînement : notre Llama et notre boucle face à `LlamaForCausalLM`, mêmes formes.

    python benchmarks/training.py [--sizes 50k 500k 5M] [--threads 1]

Les deux modèles lisent les mêmes lots, avec le même optimiseur et le même écrêtage, à tour de rôle
dans un seul processus. On compte le temps de processeur, que les autres programmes faussent peu ;
seul le rapport a un sens d’une machine à l’autre. La part du sommet dit combien des opérations que
le processeur peut faire (mesurées par un grand produit de matrices) l’entraînement emploie, à
raison de 6 opérations par paramètre et par jeton.
"""

import statistics
import time
from pathlib import Path

import torch
from report import markdown_table, write_report
from torch import nn
from transformers import LlamaConfig as ReferenceConfig
from transformers import LlamaForCausalLM

from course_lib.arguments import FrenchArgumentParser
from course_lib.training import TokenStream, TrainingConfig, build_optimizer, train
from course_lib.transformer import LlamaConfig, count_parameters, llama
from course_lib.typography import format_number, format_percent

VOCAB_SIZE, CONTEXT, BATCH = 512, 128, 8
SHAPES = {
    "50k": {"d_model": 32, "n_layers": 2, "n_heads": 4, "d_ff": 96},
    "500k": {"d_model": 128, "n_layers": 2, "n_heads": 4, "d_ff": 352},
    "5M": {"d_model": 320, "n_layers": 4, "n_heads": 8, "d_ff": 864},
}
REPORT = Path(__file__).parent / "resultats" / "training.md"


def reference_model(shape: dict) -> LlamaForCausalLM:
    """Le modèle de `transformers`, de la même forme que le nôtre."""
    return LlamaForCausalLM(
        ReferenceConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=shape["d_model"],
            intermediate_size=shape["d_ff"],
            num_hidden_layers=shape["n_layers"],
            num_attention_heads=shape["n_heads"],
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            use_cache=False,
            attn_implementation="sdpa",
        )
    ).train()


def time_ours(model: nn.Module, data: TokenStream, config: TrainingConfig) -> float:
    """Secondes de processeur de notre boucle, relevés compris."""
    start = time.process_time()
    train(model, data, config, progress=False)
    return time.process_time() - start


def time_reference(model: nn.Module, data: TokenStream, config: TrainingConfig) -> float:
    """Secondes de processeur de la boucle la plus nue autour du modèle de référence."""
    start = time.process_time()
    optimizer = build_optimizer(model, config)
    for step in range(config.n_steps):
        inputs, targets = data.batch(step)
        logits = model(input_ids=inputs).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
    return time.process_time() - start


def peak_flops(size: int = 1024, repetitions: int = 5) -> float:
    """Opérations par seconde de processeur d’un grand produit de matrices : le sommet atteint."""
    matrix = torch.randn(size, size)
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        matrix @ matrix
        times.append(time.process_time() - start)
    return 2 * size**3 / min(times)


def compare(name: str, repetitions: int, n_steps: int, threads: int) -> list[str]:
    """Alterne les deux boucles sur une forme ; rend une ligne du tableau."""
    shape = SHAPES[name]
    ids = torch.randint(VOCAB_SIZE, (200_000,), generator=torch.Generator().manual_seed(0))
    data = TokenStream(ids, CONTEXT, BATCH)
    config = TrainingConfig(n_steps=n_steps, n_threads=threads)
    ours = llama(LlamaConfig(VOCAB_SIZE, CONTEXT, **shape))
    reference = reference_model(shape)
    assert count_parameters(ours) == count_parameters(reference)
    pairs, peaks = [], []
    for repetition in range(repetitions + 1):
        pair = time_ours(ours, data, config), time_reference(reference, data, config)
        if repetition:  # la première fois ne sert qu’à échauffer la machine
            pairs.append(pair)
            peaks.append(peak_flops())
    tokens = n_steps * CONTEXT * BATCH
    rates = [tokens / statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(reference / ours for ours, reference in pairs)
    share = 6 * count_parameters(ours) * rates[0] / statistics.median(peaks)
    return [
        format_number(count_parameters(ours), 0),
        *(format_number(rate, 0) for rate in rates),
        format_number(ratio, 2),
        format_percent(share, 0),
    ]


def main() -> None:
    """Compare chaque forme et écrit le tableau."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES), help="formes")
    parser.add_argument("--repetitions", type=int, default=9, help="nombre de tours")
    parser.add_argument("--steps", type=int, default=10, help="pas par tour")
    parser.add_argument("--threads", type=int, default=1, help="fils de calcul")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [
        compare(name, options.repetitions, options.steps, options.threads) for name in options.sizes
    ]
    headers = ["paramètres", "cours (jetons/s)", "transformers (jetons/s)", "rapport", "du sommet"]
    write_report(
        REPORT,
        "Entraînement",
        f"Débits par seconde de processeur, {options.threads} fil, lots de {BATCH} × {CONTEXT} "
        f"jetons, vocabulaire de {VOCAB_SIZE}.",
        markdown_table(headers, rows),
    )


if __name__ == "__main__":
    main()
