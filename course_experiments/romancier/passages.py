"""Les passages de romans dont l’arrondi du romancier se sert : vérifiés, puis changés en jetons.

Un texte se reconnaît à son empreinte SHA-256, gardée à côté du modèle (`models/romancier/
novels.csv`) : deux éditions d’un même roman ne passent pas l’une pour l’autre, et une mesure
refaite porte sur les mêmes caractères.
"""

import csv
import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from course_experiments.romancier.novels import Novel
from course_lib.models.shipped import ROMANCIER
from course_lib.tokenization import Tokenizer

LIST = ROMANCIER / "novels.csv"
CHARACTERS_PER_TOKEN = 8  # deux fois ce qu’il en faut : un passage n’est jamais trop court


def fingerprints(path: Path = LIST) -> dict[str, str]:
    """{nom du roman: empreinte de son texte}, d’après la liste livrée."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        return {PurePosixPath(row["file"]).stem: row["sha256"] for row in rows}


def n_twins(path: Path = LIST) -> int:
    """Nombre de romans qui ont, caractère pour caractère, le texte d’un autre, compté à part."""
    return sum(count - 1 for count in Counter(fingerprints(path).values()).values())


def checked_text(novel: Novel, known: dict[str, str]) -> str:
    """Le texte d’un roman, ses tirets ramenés à une seule forme, comme à l’entraînement.

    ValueError si ce n’est pas celui de la liste.
    """
    found, expected = hashlib.sha256(novel.text.encode()).hexdigest(), known.get(novel.name, "")
    if found != expected:
        raise ValueError(
            f"« {novel.name} » n’est pas le texte de la liste : son empreinte est {found[:12]}…, "
            f"il faudrait « {expected[:12]}… ». Reprenez-le tel qu’il a été extrait."
        )
    return novel.text.replace("--", "—").replace("— —", "—")


def passages(
    novels: Iterable[Novel], tokenizer: Tokenizer, n_passages: int, length: int, seed: int = 0
) -> Tensor:
    """(n_passages, length) : des passages tirés au sort, dans autant de romans s’il y en a.

    ValueError si un roman n’a pas le texte de la liste, ou est trop court.
    """
    draw, known = random.Random(seed), fingerprints()
    novels = list(novels)
    chosen = draw.sample(novels, min(n_passages, len(novels)))
    rows = []
    for rank in range(n_passages):
        novel, width = chosen[rank % len(chosen)], CHARACTERS_PER_TOKEN * length
        text = checked_text(novel, known)
        start = draw.randrange(max(1, len(text) - width))
        ids = tokenizer.encode(text[start : start + width])[:length]
        if len(ids) < length:
            raise ValueError(f"« {novel.name} » est trop court : {len(ids)} jetons, pour {length}.")
        rows.append(ids)
    return torch.tensor(rows)


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
