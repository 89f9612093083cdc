"""Un modèle est ce qu’il a lu : les mêmes textes, devant des modèles aux lectures différentes.

    python -m course_experiments.romancier.own_data --novels DOSSIER --moliere FICHIER

En bits par octet, qui se comparent d’un découpage à l’autre. Le 6-gramme d’octets y est deux fois,
avec la même méthode : l’un a lu des romans, l’autre Molière. Leur écart ne vient que de là.
Les mesures vont dans `results/romancier.own_data.json`.
"""

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import CLEAN, add_novels_option, read_novels
from course_experiments.romancier.short_texts import SHORT_TEXTS
from course_lib.arguments import FrenchArgumentParser
from course_lib.corpora.user_text import read_text
from course_lib.evaluation.sliding import text_bits
from course_lib.ngram import KneserNeyModel
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path

ROMANCIER, SMOLLM2 = "romancier", "SmolLM2-135M"
NOVEL_NGRAM, MOLIERE_NGRAM = "6-gramme, romans", "6-gramme, Molière"
NOVEL, MOLIERE = "roman jamais lu", "Molière"
START = 256  # ce qui précède le premier octet


@dataclass(frozen=True)
class Protocol:
    """Longueur des extraits (signes), contexte (jetons), lecture et ordre des 6-grammes."""

    excerpt: int = 6_000
    context: int = 1024
    ngram_bytes: int = 1_600_000
    order: int = 6


def readings(novels: Path, moliere: Path, protocol: Protocol) -> dict[str, Sequence[str]]:
    """Les textes à lire : un extrait de chaque roman jamais lu, la fin de Molière, les courts."""
    middles = [_middle(novel.text, protocol.excerpt) for novel in read_novels(novels, CLEAN)]
    plays = read_text(moliere)[-protocol.excerpt :]
    half = len(plays) // 2
    return {NOVEL: middles, MOLIERE: (plays[:half], plays[half:]), **SHORT_TEXTS}


def model_bits(loaded: Pretrained, context: int) -> Callable[[str], float]:
    """Les bits que coûte un texte à un modèle, premier jeton compris ; tous lisent aussi loin."""
    start = [loaded.tokenizer.bos_id] if loaded.tokenizer.bos_id is not None else []

    def bits(text: str) -> float:
        return text_bits(loaded.model, loaded.tokenizer.encode(text), start, context)

    return bits


def ngram_bits(text_read: str, protocol: Protocol) -> Callable[[str], float]:
    """Les bits que coûte un texte au 6-gramme d’octets qui a lu `text_read`."""
    model = KneserNeyModel(protocol.order, START + 1, START)
    model.fit([list(text_read.encode())[: protocol.ngram_bytes]])

    def bits(text: str) -> float:
        return -float(np.sum(model.log_probs(list(text.encode())))) / math.log(2)

    return bits


def training_novels(novels: Path, n_bytes: int) -> str:
    """Un extrait de chaque roman de l’entraînement, `n_bytes` octets environ en tout."""
    texts = [novel.text for novel in read_novels(novels, "training")]
    return "\n".join(_middle(text, n_bytes // len(texts)) for text in texts)


def measure(name: str, seed: int, protocol: Protocol, novels: Path, moliere: Path) -> dict:
    """Bits par octet d’un modèle sur chaque sorte de texte : en tout, et texte par texte."""
    if name == ROMANCIER:
        bits = model_bits(load_pretrained("romancier"), protocol.context)
    elif name == SMOLLM2:
        bits = model_bits(load_pretrained(smollm2_path()), protocol.context)
    elif name == NOVEL_NGRAM:
        bits = ngram_bits(training_novels(novels, protocol.ngram_bytes), protocol)
    else:
        bits = ngram_bits(read_text(moliere)[: -protocol.excerpt], protocol)
    found = {}
    for kind, texts in readings(novels, moliere, protocol).items():
        costs = [bits(text) for text in texts]
        sizes = [len(text.encode()) for text in texts]
        found[kind] = {
            "bits_per_byte": sum(costs) / sum(sizes),
            "each": [cost / size for cost, size in zip(costs, sizes, strict=True)],
            "bytes": sum(sizes),
        }
    return found


def _middle(text: str, length: int) -> str:
    """`length` signes au milieu d’un texte."""
    start = max(0, (len(text) - length) // 2)
    return text[start : start + length]


def with_texts(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience, une fois connus les textes du lecteur."""

    def measure_one(name: str, seed: int, protocol: Protocol) -> dict:
        return measure(name, seed, protocol, options.novels, options.moliere)

    return replace(experiment, measure=measure_one)


def add_options(parser: FrenchArgumentParser) -> None:
    """Où sont les romans, où est Molière."""
    add_novels_option(parser)
    parser.add_argument(
        "--moliere", type=Path, required=True, help="fichier texte des pièces de Molière"
    )


EXPERIMENT = Experiment(
    name="romancier.own_data",
    description="Compare, sur les mêmes textes, des modèles aux lectures différentes.",
    settings=Protocol(),
    names=(ROMANCIER, NOVEL_NGRAM, MOLIERE_NGRAM, SMOLLM2),
    seeds=(0,),
    measure=measure,
    n_threads=2,
    add_options=add_options,
    adapt=with_texts,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
