"""Lire un modèle publié sans reformer ses poids : les entiers du fichier, tels quels.

`load_pretrained` fait de chaque poids un nombre flottant, quatre octets à relire à chaque jeton.
Ici, une matrice que le fichier range en petits entiers devient une `QuantizedLinear` : les mêmes
nombres, pour quatre à huit fois moins d’octets.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_lib.acceleration.linear import QuantizedLinear, replace_linears
from course_lib.acceleration.weights import QuantizedWeight, pack_ranks
from course_lib.pretrained.folders.locating import find_model
from course_lib.pretrained.gguf.levels import SIXTEEN_LEVELS, Levels
from course_lib.pretrained.gguf.parts import GGUFParts
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.places import Place, gguf_place


def load_rounded(path: str | Path, context_length: int | None = None) -> Pretrained:
    """Comme `load_pretrained`, pour un GGUF, en gardant les entiers de ses matrices.

    Les embeddings sont reformés : on n’en lit qu’une ligne par jeton. Le modèle lit et n’apprend
    pas. ValueError si ce n’est pas un GGUF ; sinon, les erreurs de `load_pretrained`.
    """
    loaded = load_pretrained(path, context_length)
    found = find_model(path)
    if found.is_dir():
        raise ValueError(
            f"« {path} » est un dossier Hugging Face, aux poids flottants : donnez un fichier "
            "GGUF, ou arrondissez le modèle vous-même avec quantize."
        )
    with GGUFParts(found) as file:

        def convert(name: str, linear: nn.Linear) -> nn.Module:
            heads = (loaded.config.n_heads, loaded.config.n_kv_heads)
            place = gguf_place(f"{name}.weight", loaded.family, *heads)
            if place.name not in file.tensors:  # une tête liée aux embeddings
                place = gguf_place("embedding.tokens.weight", loaded.family, *heads)
            levels = file.levels(place.name)
            if levels is None:
                return linear
            weight = quantized_weight(levels, file.tensors[place.name].kind, place)
            return QuantizedLinear(weight, linear.bias)

        model = replace_linears(loaded.model, convert)
    return Pretrained(**{**vars(loaded), "model": model})


def quantized_weight(levels: Levels, kind: str, place: Place) -> QuantizedWeight:
    """Les entiers d’un tenseur, aux lignes dans notre ordre."""
    integers, scales = (
        place.read(torch.from_numpy(part)) for part in (levels.integers, levels.scales)
    )
    minimums = torch.empty(0)
    if levels.minimums is not None:
        minimums = place.read(torch.from_numpy(levels.minimums)).contiguous()
    scales = scales.contiguous()
    if kind not in SIXTEEN_LEVELS:
        return QuantizedWeight(8, integers.contiguous(), scales, minimums)
    table = np.array(SIXTEEN_LEVELS[kind], np.int8)
    ranks = torch.from_numpy(np.searchsorted(table, integers.numpy()).astype(np.uint8))
    table = np.pad(table, (0, 16 - len(table)))
    return QuantizedWeight(
        4, pack_ranks(ranks, scales.shape[1]), scales, minimums, torch.from_numpy(table)
    )
