"""Vitesse d’écriture : la nôtre (PyTorch, puis numba) face à `LlamaForCausalLM.generate`.

    python benchmarks/generation.py

Mêmes formes de modèle, mêmes amorces, choix glouton, mémoire cache partout, à tour de rôle dans un
seul processus. On compte le temps de processeur : seul le rapport a un sens d’une machine à
l’autre. La compilation des noyaux numba a lieu avant la mesure. Le tableau est aussi écrit dans
benchmarks/resultats/generation.md.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from report import markdown_table, write_report
from tqdm import tqdm
from transformers import LlamaConfig as ReferenceConfig
from transformers import LlamaForCausalLM

from course_lib.acceleration import NumbaReader
from course_lib.arguments import FrenchArgumentParser
from course_lib.generation import CachedReader, SamplingConfig, generate
from course_lib.transformer import LlamaConfig, count_parameters, llama
from course_lib.typography import format_number

RESULTS = Path(__file__).parent / "resultats" / "generation.md"
VOCAB_SIZE, CONTEXT, PROMPT_LENGTH = 512, 256, 16
SHAPES = (
    {"d_model": 40, "n_layers": 2, "n_heads": 4, "d_ff": 108},  # 50 milliers de paramètres
    {"d_model": 128, "n_layers": 2, "n_heads": 4, "d_ff": 400},  # un demi-million
    {"d_model": 256, "n_layers": 6, "n_heads": 8, "d_ff": 704},  # cinq millions
)
GREEDY = SamplingConfig(temperature=0)


def reference_model(shape: dict[str, int]) -> LlamaForCausalLM:
    """Le modèle de `transformers`, de la même forme que le nôtre, sans jeton d’arrêt."""
    return LlamaForCausalLM(
        ReferenceConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=shape["d_model"],
            intermediate_size=shape["d_ff"],
            num_hidden_layers=shape["n_layers"],
            num_attention_heads=shape["n_heads"],
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            attn_implementation="sdpa",
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
        )
    ).eval()


def contenders(shape: dict[str, int], batch: int, n_new: int) -> tuple[list[Callable], int]:
    """Les trois écritures à comparer, et le nombre de paramètres du modèle."""
    ours, reference = (
        llama(LlamaConfig(VOCAB_SIZE, CONTEXT, **shape)).eval(),
        reference_model(shape),
    )
    assert count_parameters(ours) == count_parameters(reference)
    draw = torch.Generator().manual_seed(0)
    prompts = torch.randint(1, VOCAB_SIZE, (batch, PROMPT_LENGTH), generator=draw)
    mask, lists = torch.ones_like(prompts), prompts.tolist()

    def by_transformers():
        return reference.generate(
            prompts, attention_mask=mask, max_new_tokens=n_new, do_sample=False, use_cache=True
        )

    def by_reader(reader: Callable) -> Callable:
        return lambda: generate(ours, lists, n_new, sampling=GREEDY, reader=reader)

    writers = [by_transformers, by_reader(CachedReader), by_reader(NumbaReader)]
    assert by_transformers().shape[1] == PROMPT_LENGTH + n_new
    assert all(len(result.ids) == n_new for write in writers[1:] for result in write())
    return writers, count_parameters(ours)


def measure(writers: list[Callable], repetitions: int) -> list[list[float]]:
    """Secondes de processeur de chaque écriture, tour par tour."""
    rounds = []
    for _ in range(repetitions):
        times = []
        for write in writers:
            start = time.process_time()
            write()
            times.append(time.process_time() - start)
        rounds.append(times)
    return rounds


def row(shape: dict[str, int], batch: int, n_new: int, repetitions: int) -> list[str]:
    """Une ligne du tableau : débits médians, et rapports médians à `transformers`."""
    writers, size = contenders(shape, batch, n_new)
    rounds = measure(writers, repetitions)
    rates = [batch * n_new / statistics.median(times) for times in zip(*rounds, strict=True)]
    ratios = [statistics.median(times[0] / times[i] for times in rounds) for i in (1, 2)]
    cells = [format_number(size, 0), str(batch), *(format_number(rate, 0) for rate in rates)]
    return cells + [f"× {format_number(ratio, 1)}" for ratio in ratios]


def main() -> None:
    """Mesure chaque taille et chaque lot, affiche le tableau et l’enregistre."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=7, help="nombre de tours")
    parser.add_argument("--tokens", type=int, default=64, help="jetons écrits par texte")
    parser.add_argument("--threads", type=int, default=1, help="fils de calcul de PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = [(shape, batch) for shape in SHAPES for batch in (1, 16)]
    rows = [row(*case, options.tokens, options.repetitions) for case in tqdm(cases, leave=False)]
    headers = ("paramètres", "lot", "transformers", "cours, PyTorch", "cours, numba")
    headers = (*headers, "rapport PyTorch", "rapport numba")
    note = (
        "Refaire : `python benchmarks/generation.py`. Jetons par seconde de processeur, choix "
        f"glouton, {options.tokens} jetons après une amorce de {PROMPT_LENGTH}, "
        f"{options.threads} fil, médiane de {options.repetitions} tours."
    )
    write_report(RESULTS, "Vitesse d’écriture", note, markdown_table(headers, rows))


if __name__ == "__main__":
    main()
