"""Écrire avec SmolLM2 : nos habits face à `transformers.generate` et à llama.cpp.

    pip install -r benchmarks/requirements.txt        llama.cpp se compile, quelques minutes
    python benchmarks/real_model.py

Une phrase à la fois, choix glouton, deux fils, temps de l’horloge, chacun à son tour. Le débit de
la mémoire est mesuré entre les tours : il borne ce que l’on peut écrire par seconde, puisque chaque
jeton demande de lire tous les poids. Sans llama.cpp, le tableau se fait sans lui.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from report import markdown_table, write_report
from tqdm import tqdm

from course_experiments.decoding_speed import (
    FORMS,
    PROMPT,
    READERS,
    Protocol,
    memory_bandwidth,
    seconds_per_step,
)
from course_lib.acceleration import weight_bytes
from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.corpora.sentences.parallel_texts import PARALLEL_TEXTS
from course_lib.evaluation.compression import compress
from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.typography import format_number, format_percent

REPORT = Path(__file__).parent / "resultats" / "real_model.md"
ENGLISH = [text.english for text in PARALLEL_TEXTS]
START_ID = 0  # <|endoftext|>


class TransformersWriter:
    """`transformers.generate`, fp32, mémoire cache ; la lecture de l’amorce est soustraite."""

    def __init__(self, prompt: list[int]):
        from transformers import AutoModelForCausalLM

        path = smollm2_path()
        self.model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        ).eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = START_ID
        self.ids = torch.tensor([prompt])
        self.n_bytes = sum(p.numel() * 4 for p in self.model.parameters())

    def _generate(self, n_tokens: int) -> float:
        start = time.perf_counter()
        ids = self.model.generate(
            self.ids,
            attention_mask=torch.ones_like(self.ids),
            max_new_tokens=n_tokens,
            min_new_tokens=n_tokens,
            do_sample=False,
        )
        assert ids.shape[1] == self.ids.shape[1] + n_tokens
        return time.perf_counter() - start

    def seconds(self, n_tokens: int) -> float:
        """Secondes par jeton."""
        return (self._generate(n_tokens + 1) - self._generate(1)) / n_tokens

    def perplexity(self) -> None:
        """Celle de PyTorch, aux mêmes poids : on ne la refait pas."""
        return None


class LlamaCppWriter:
    """llama.cpp sur le fichier publié (Q4_1), deux fils."""

    def __init__(self, prompt: list[int], n_threads: int):
        import llama_cpp

        path = str(smollm2_path())
        options = {"n_ctx": 512, "n_threads": n_threads, "n_threads_batch": n_threads}
        self.llama = llama_cpp.Llama(path, verbose=False, **options)
        self.scorer = llama_cpp.Llama(path, verbose=False, logits_all=True, **options)
        self.prompt = prompt
        self.n_bytes = os.path.getsize(path)

    def seconds(self, n_tokens: int) -> float:
        """Secondes par jeton."""
        self.llama.reset()
        self.llama.eval(self.prompt)
        token = int(np.argmax(self.llama.scores[self.llama.n_tokens - 1]))
        start = time.perf_counter()
        for _ in range(n_tokens):
            self.llama.eval([token])
            token = int(np.argmax(self.llama.scores[self.llama.n_tokens - 1]))
        return (time.perf_counter() - start) / n_tokens

    def perplexity(self) -> float:
        """La même mesure que la nôtre, sur les mêmes jetons."""
        tokenizer = load_pretrained(smollm2_path(), 64).tokenizer
        nats, n_tokens = 0.0, 0
        for text in ENGLISH:
            ids = tokenizer.encode(text)
            self.scorer.reset()
            self.scorer.eval([START_ID, *ids[:-1]])
            log_probs = torch.tensor(self.scorer.scores[: len(ids)]).log_softmax(-1)
            nats -= float(log_probs[range(len(ids)), ids].sum())
            n_tokens += len(ids)
        return float(np.exp(nats / n_tokens))


class CourseWriter:
    """Un de nos habits."""

    def __init__(self, form, smollm, prompt: list[int], n_positions: int):
        self.model = form.make(smollm.model)
        self.tokenizer = smollm.tokenizer
        self.reader = READERS[form.backend](self.model, [prompt], n_positions)
        self.reader.start()
        self.reader.step([1])  # compile
        self.n_bytes = weight_bytes(self.model)

    def seconds(self, n_tokens: int) -> float:
        """Secondes par jeton."""
        return seconds_per_step(self.reader, 1, n_tokens)

    def perplexity(self) -> float:
        """Perplexité par jeton sur les textes anglais du cours."""
        return compress(self.model, self.tokenizer, ENGLISH, START_ID).perplexity


def contenders(protocol: Protocol) -> dict[str, object]:
    """Tous les écrivains, prêts."""
    smollm = load_pretrained(smollm2_path(), 512)
    prompt = smollm.tokenizer.encode(PROMPT)
    n_positions = len(prompt) + protocol.rounds * protocol.n_tokens + 4
    makers: dict[str, Callable] = {"transformers, fp32": lambda: TransformersWriter(prompt)}
    for form in FORMS:
        makers[f"cours : {form.name}"] = lambda form=form: CourseWriter(
            form, smollm, prompt, n_positions
        )
    try:
        import llama_cpp  # noqa: F401
    except ImportError:
        print("llama.cpp n’est pas installé : pip install -r benchmarks/requirements.txt")
    else:
        makers["llama.cpp, Q4_1"] = lambda: LlamaCppWriter(prompt, protocol.n_threads)
    return {name: make() for name, make in tqdm(makers.items(), desc="Préparation")}


def main() -> None:
    """Mesure chacun à tour de rôle et écrit le tableau."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive_int, default=7, help="nombre de tours")
    parser.add_argument("--tokens", type=positive_int, default=32, help="jetons par tour")
    options = parser.parse_args()
    protocol = Protocol(n_tokens=options.tokens, rounds=options.rounds)
    torch.set_num_threads(protocol.n_threads)
    writers = contenders(protocol)
    times: dict[str, list[float]] = {name: [] for name in writers}
    bandwidths = []
    for _ in tqdm(range(protocol.rounds), desc="Tours"):
        bandwidths.append(memory_bandwidth(protocol.bandwidth_megabytes))
        for name, writer in writers.items():
            times[name].append(writer.seconds(protocol.n_tokens))
    bandwidth = statistics.median(bandwidths)
    reference = times["transformers, fp32"]
    rows = []
    for name, writer in writers.items():
        rate = 1 / statistics.median(times[name])
        ratio = statistics.median(r / t for r, t in zip(reference, times[name], strict=True))
        perplexity = writer.perplexity()
        rows.append(
            [
                name,
                format_number(rate, 1),
                f"× {format_number(ratio, 1)}",
                format_number(writer.n_bytes / 1e6, 0),
                format_number(rate * writer.n_bytes / 1e9, 1),
                format_percent(rate * writer.n_bytes / bandwidth, 0),
                "" if perplexity is None else format_number(perplexity, 2),
            ]
        )
    headers = ["écrivain", "jetons/s", "rapport", "Mo lus par jeton", "Go/s"]
    note = (
        "Refaire : `python benchmarks/real_model.py`. SmolLM2-135M-Instruct, une phrase, choix "
        f"glouton, {protocol.n_threads} fils, {protocol.n_tokens} jetons par tour, médiane de "
        f"{protocol.rounds} tours. Débit de la mémoire dans la foulée : "
        f"{format_number(bandwidth / 1e9, 1)} Go/s "
        f"({format_number(min(bandwidths) / 1e9, 1)} à {format_number(max(bandwidths) / 1e9, 1)}). "
        "« Part du débit » rapporte les octets lus par seconde à ce débit. Perplexité par jeton, "
        "douze textes anglais du cours ; les poids publiés sont déjà sur 4 bits (tête sur 8)."
    )
    table = markdown_table([*headers, "part du débit", "perplexité"], rows)
    write_report(REPORT, "Écrire avec un modèle réel", note, table)


if __name__ == "__main__":
    main()
