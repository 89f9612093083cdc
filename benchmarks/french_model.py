"""Écrire avec le romancier, sous sa forme livrée : la nôtre face à `transformers` et à llama.cpp.

    pip install -r benchmarks/requirements.txt        llama.cpp se compile, quelques minutes
    python benchmarks/french_model.py

Le même fichier, le choix glouton, chacun à son tour dans un seul processus : un texte, puis seize,
puis soixante-quatre (llama.cpp, ici, en écrit un). Deux temps : celui de l’horloge, qui compte ce
que fait le reste de la machine, et celui du processeur, tous fils réunis, qui le compte moins ; les
rapports sont pris tour à tour. Puis ce que coûte un tirage, réglage par réglage. Sans llama.cpp, le
tableau se fait sans lui. Deux fils (`--threads 2`) demandent une machine au repos : ils s’attendent
l’un l’autre une quarantaine de fois par jeton.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from report import markdown_table, write_report
from tqdm import tqdm

from course_lib.acceleration import NumbaReader, load_rounded
from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.generation import CachedReader, SamplingConfig, next_distribution
from course_lib.generation.sampling import draw
from course_lib.models import load_romancier
from course_lib.models.shipped import ROMANCIER, ROMANCIER_WEIGHTS
from course_lib.typography import format_number

REPORT = Path(__file__).parent / "resultats" / "french_model.md"
PROMPT = "La marquise entra dans le salon et"
BATCHES, FEWEST_STEPS = (1, 16, 64), 8  # textes ensemble, jetons de chacun au moins
SETTINGS = {
    "aucun": {},
    "température 0,8": {"temperature": 0.8},
    "top-k 40": {"top_k": 40},
    "top-p 0,95": {"top_p": 0.95},
    "min-p 0,05": {"min_p": 0.05},
    "pénalité 1,1": {"repetition_penalty": 1.1},
    "0,8, top-k 50, top-p 0,95": {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
}
Times = tuple[float, float]  # secondes par pas : horloge, processeur


def timed(write: Callable[[], None], n_steps: int) -> Times:
    """Le temps d’un pas, d’après l’horloge et d’après le processeur."""
    wall, cpu = time.perf_counter(), time.process_time()
    write()
    return (time.perf_counter() - wall) / n_steps, (time.process_time() - cpu) / n_steps


def by_reader(model, reader_class, prompt: list[int], batch: int, n_steps: int) -> Callable:
    """Un de nos lecteurs : la mesure ne compte que les jetons écrits."""

    def measure() -> Times:
        reader = reader_class(model, [prompt] * batch, len(prompt) + n_steps + 1)
        first = reader.start().argmax(dim=-1).tolist()

        def write() -> None:
            ids = first
            for _ in range(n_steps):
                ids = reader.step(ids).numpy().argmax(axis=-1).tolist()

        return timed(write, n_steps)

    return measure


def by_transformers(prompt: list[int], batch: int, n_steps: int) -> Callable:
    """`transformers.generate`, fp32, mémoire cache ; la lecture de l’amorce est soustraite."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        ROMANCIER, gguf_file=ROMANCIER_WEIGHTS.name, dtype=torch.float32
    ).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    ids = torch.tensor([prompt] * batch)

    def generate(n_tokens: int) -> None:
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=n_tokens,
            min_new_tokens=n_tokens,
            do_sample=False,
        )

    def measure() -> Times:
        whole, start = timed(lambda: generate(n_steps + 1), 1), timed(lambda: generate(1), 1)
        return tuple((a - b) / n_steps for a, b in zip(whole, start, strict=True))

    return measure


def by_llama_cpp(prompt: list[int], n_threads: int, n_steps: int) -> Callable | None:
    """llama.cpp sur le fichier livré ; None s’il n’est pas installé."""
    try:
        from llama_cpp import Llama, llama_cpp
    except ImportError:
        return None
    defaults = llama_cpp.llama_model_default_params

    def without_amx():  # ses noyaux AMX s’arrêtent net sur IQ4_XS
        params = defaults()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_model_default_params = without_amx
    options = {"n_ctx": 512, "n_threads": n_threads, "n_threads_batch": n_threads}
    llama = Llama(str(ROMANCIER_WEIGHTS), verbose=False, **options)
    llama_cpp.llama_model_default_params = defaults

    def measure() -> Times:
        llama.reset()
        llama.eval(prompt)

        def write() -> None:
            for _ in range(n_steps):
                llama.eval([int(np.argmax(llama.scores[llama.n_tokens - 1]))])

        return timed(write, n_steps)

    return measure


def contenders(
    prompt: list[int], n_threads: int, batch: int, n_steps: int
) -> dict[str, Callable[[], Times]]:
    """Qui écrit, et comment le mesurer."""
    model, rounded = load_romancier()[0], load_rounded(ROMANCIER_WEIGHTS).model
    makers = {
        "transformers, fp32": by_transformers(prompt, batch, n_steps),
        "cours : PyTorch, fp32": by_reader(model, CachedReader, prompt, batch, n_steps),
        "cours : numba, fp32": by_reader(model, NumbaReader, prompt, batch, n_steps),
        "cours : numba, forme livrée": by_reader(rounded, NumbaReader, prompt, batch, n_steps),
    }
    llama = by_llama_cpp(prompt, n_threads, n_steps) if batch == 1 else None
    return makers | ({} if llama is None else {"llama.cpp, même fichier": llama})


def rows(
    prompt: list[int], n_threads: int, batch: int, n_steps: int, rounds: int
) -> list[list[str]]:
    """Les lignes d’un lot : débits médians, rapports médians à `transformers`."""
    torch.set_num_threads(n_threads)
    measures = contenders(prompt, n_threads, batch, n_steps)
    for measure in measures.values():
        measure()  # compile, réchauffe
    found = [{name: measure() for name, measure in measures.items()} for _ in range(rounds)]
    lines = []
    for name in measures:
        walls, cpus = zip(*(turn[name] for turn in found), strict=True)
        gains = [
            statistics.median(turn["transformers, fp32"][i] / turn[name][i] for turn in found)
            for i in (0, 1)
        ]
        lines.append(
            [
                name,
                str(batch),
                format_number(batch / statistics.median(walls), 0),
                format_number(batch / min(walls), 0),
                f"× {format_number(gains[0], 1)}",
                format_number(batch / statistics.median(cpus), 0),
                f"× {format_number(gains[1], 1)}",
            ]
        )
    return lines


def sampling_rows(logits: Sequence[torch.Tensor], previous: list[int]) -> list[str]:
    """Le coût médian et le moindre de chaque réglage, tirage compris, en millisecondes."""
    torch.set_num_threads(1)
    uniforms = torch.tensor([0.3], dtype=torch.float64)
    cells = []
    for settings in SETTINGS.values():
        sampling, times = SamplingConfig(**settings), []
        for scores in logits:
            start = time.process_time()
            draw(next_distribution(scores, sampling, [previous]), uniforms)
            times.append(1e3 * (time.process_time() - start))
        cells.append(
            f"{format_number(statistics.median(times), 2)} ({format_number(min(times), 2)})"
        )
    return cells


def read_scores(prompt: list[int], n_tokens: int) -> tuple[list[torch.Tensor], list[int]]:
    """Les scores du romancier au fil d’un texte, et ce texte."""
    reader = CachedReader(load_romancier()[0], [prompt], len(prompt) + n_tokens)
    scores, ids = [reader.start()], list(prompt)
    for _ in range(n_tokens - 1):
        ids.append(int(scores[-1].argmax()))
        scores.append(reader.step(ids[-1:]))
    return scores, ids


def main() -> None:
    """Mesure chaque cas, puis les réglages, affiche les tableaux et les enregistre."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive_int, default=7, help="nombre de tours")
    parser.add_argument("--tokens", type=positive_int, default=64, help="jetons par tour")
    parser.add_argument("--threads", type=positive_int, default=1, help="fils de calcul")
    options = parser.parse_args()
    prompt = load_romancier()[1].encode(PROMPT)
    small, ids = read_scores(prompt, 100)
    large = [torch.cat([scores, scores - 2, scores - 4], dim=1) for scores in small]
    costs = zip(SETTINGS, sampling_rows(small, ids), sampling_rows(large, ids), strict=True)
    sizes = [format_number(scores[0].numel(), 0) for scores in (small, large)]
    drawing = markdown_table(["réglage", *(f"{size} jetons" for size in sizes)], list(costs))
    print(drawing)
    lines = []
    for batch in tqdm(BATCHES, desc="Lots"):
        n_steps = max(FEWEST_STEPS, 2 * options.tokens // batch)
        lines += rows(prompt, options.threads, batch, n_steps, options.rounds)
        print(markdown_table(["écrivain"], lines[-5:]))
    headers = ["écrivain", "textes", "jetons/s", "au mieux", "rapport"]
    table = markdown_table([*headers, "jetons/s de processeur", "rapport"], lines)
    load = " ; ".join(format_number(value, 1) for value in os.getloadavg())
    note = (
        f"Refaire : `python benchmarks/french_model.py`. {2 * options.tokens} jetons à un texte, "
        f"médiane de {options.rounds} tours, {options.threads} fil(s) sur {os.cpu_count()} cœurs. "
        f"Charge moyenne de la machine à la fin, sur 1, 5 et 15 minutes : {load}."
    )
    drawn = (
        "Un tirage, réglage par réglage : millisecondes de processeur, médiane de cent scores du "
        "romancier (la moindre entre parenthèses), un fil."
    )
    tables = f"{table}\n\n{drawn}\n\n{drawing}"
    write_report(REPORT, "Écrire avec le romancier", note, tables)


if __name__ == "__main__":
    main()
