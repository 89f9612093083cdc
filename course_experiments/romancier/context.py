"""Ce que rapporte le contexte : le romancier, plus ou moins myope, et des n-grammes bien nourris.

    python -m course_experiments.romancier.context --novels DOSSIER

Les n-grammes comptent les romans mêmes que le romancier a lus, avec son vocabulaire. Tous
prédisent les mêmes passages, tirés de romans que personne n’a lus. Le romancier les relit par une
fenêtre de quelques jetons ; chaque jeton compté en a devant lui au plus toute la fenêtre, au moins
la moitié, hors des débuts. La mesure, en bits par caractère, va dans
`results/romancier.context.json`.
"""

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import CLEAN, add_novels_option, read_novels, with_novels
from course_experiments.romancier.passages import checked_text, fingerprints, passages
from course_lib.evaluation.sliding import sliding_nats
from course_lib.models.shipped import load_romancier
from course_lib.ngram import KneserNeyModel
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder

ORDERS = (2, 3, 5)
WINDOWS = (1, 2, 4, 8, 16, 64, 256, 1024)
READ = "training"


@dataclass(frozen=True)
class Protocol:
    """Les passages de la mesure : `n_passages` de `length` jetons, répartis dans les romans."""

    n_passages: int = 10
    length: int = 1025
    seed: int = 0


@lru_cache(maxsize=1)
def held_out(novels: Path, protocol: Protocol) -> tuple[Decoder, Tokenizer, np.ndarray]:
    """Le romancier, son tokeniseur et les passages de la mesure."""
    model, tokenizer = load_romancier()
    size = (protocol.n_passages, protocol.length, protocol.seed)
    return model, tokenizer, passages(read_novels(novels, CLEAN), tokenizer, *size).numpy()


@lru_cache(maxsize=1)
def texts_read(novels: Path, protocol: Protocol) -> list[np.ndarray]:
    """Les romans que le romancier a lus, en ids."""
    tokenizer, known = held_out(novels, protocol)[1], fingerprints()
    return [
        np.array(tokenizer.encode(checked_text(novel, known)), dtype=np.int32)
        for novel in read_novels(novels, READ)
    ]


def counted(order: int, novels: Path, protocol: Protocol) -> tuple[float, dict]:
    """Un n-gramme compté sur les romans : sa surprise totale, en nats, et sa taille."""
    _, tokenizer, rows = held_out(novels, protocol)
    texts, start = texts_read(novels, protocol), time.process_time()
    model = KneserNeyModel(order, tokenizer.vocab_size, tokenizer.bos_id).fit(texts)
    seconds = time.process_time() - start
    nats = -sum(float(model.log_probs(row)[1:].sum()) for row in rows)
    tokens = sum(map(len, texts))
    return nats, {"size": model.n_entries, "tokens": tokens, "cpu_seconds": seconds}


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """« 5-gramme », ou « romancier 64 » : les bits par caractère des passages."""
    model, tokenizer, rows = held_out(novels, protocol)
    characters = sum(len(tokenizer.decode(row[1:].tolist())) for row in rows)
    if name.endswith("-gramme"):
        nats, details = counted(int(name.split("-")[0]), novels, protocol)
    else:
        window = int(name.split()[1])
        nats, details = sum(sliding_nats(model, row, window) for row in rows), {}
    bits = nats / math.log(2)
    return {"bits_per_character": bits / characters, "characters": characters, **details}


EXPERIMENT = Experiment(
    name="romancier.context",
    description="Mesure ce que le contexte rapporte au romancier, et à des n-grammes.",
    settings=Protocol(),
    names=(),
    once=[f"romancier {w}" for w in WINDOWS] + [f"{order}-gramme" for order in ORDERS],
    seeds=(0,),
    measure=measure,
    add_options=add_novels_option,
    adapt=with_novels,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
