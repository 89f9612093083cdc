"""Où chacun de nos poids est rangé dans un fichier publié, et sous quelle forme.

    nos noms                                  Hugging Face                       GGUF
    blocks.3.self_attention.query.weight      model.layers.3.self_attn.q_proj…   blk.3.attn_q…

Trois rangements diffèrent du nôtre. GPT-2 transpose ses matrices (`Conv1D`) et empile requêtes,
clés et valeurs. Helium et un GGUF « llama » entrelacent les lignes des requêtes et des clés : leurs
paires rotatives sont voisines (2i, 2i + 1), les nôtres à une demi-tête l’une de l’autre.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Nos noms, sans « .weight » ni « .bias » → Hugging Face, GGUF. « * » : le numéro de l’étage.
_LLAMA = {
    "embedding.tokens": ("model.embed_tokens", "token_embd"),
    "norm": ("model.norm", "output_norm"),
    "head": ("lm_head", "output"),
    "blocks.*.self_attention_norm": ("model.layers.*.input_layernorm", "blk.*.attn_norm"),
    "blocks.*.self_attention.query": ("model.layers.*.self_attn.q_proj", "blk.*.attn_q"),
    "blocks.*.self_attention.key": ("model.layers.*.self_attn.k_proj", "blk.*.attn_k"),
    "blocks.*.self_attention.query_norm": ("model.layers.*.self_attn.q_norm", "blk.*.attn_q_norm"),
    "blocks.*.self_attention.key_norm": ("model.layers.*.self_attn.k_norm", "blk.*.attn_k_norm"),
    "blocks.*.self_attention.value": ("model.layers.*.self_attn.v_proj", "blk.*.attn_v"),
    "blocks.*.self_attention.output": ("model.layers.*.self_attn.o_proj", "blk.*.attn_output"),
    "blocks.*.feed_forward_norm": ("model.layers.*.post_attention_layernorm", "blk.*.ffn_norm"),
    "blocks.*.feed_forward.gate": ("model.layers.*.mlp.gate_proj", "blk.*.ffn_gate"),
    "blocks.*.feed_forward.up": ("model.layers.*.mlp.up_proj", "blk.*.ffn_up"),
    "blocks.*.feed_forward.down": ("model.layers.*.mlp.down_proj", "blk.*.ffn_down"),
}
_PUBLISHED_LLAMA = {ours: names[0] for ours, names in _LLAMA.items()}
_GGUF = {ours: names[1] for ours, names in _LLAMA.items()}
_GPT2 = {
    "embedding.tokens": "transformer.wte",
    "embedding.positions.table": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
    "blocks.*.self_attention_norm": "transformer.h.*.ln_1",
    "blocks.*.self_attention.query": "transformer.h.*.attn.c_attn",
    "blocks.*.self_attention.key": "transformer.h.*.attn.c_attn",
    "blocks.*.self_attention.value": "transformer.h.*.attn.c_attn",
    "blocks.*.self_attention.output": "transformer.h.*.attn.c_proj",
    "blocks.*.feed_forward_norm": "transformer.h.*.ln_2",
    "blocks.*.feed_forward.up": "transformer.h.*.mlp.c_fc",
    "blocks.*.feed_forward.down": "transformer.h.*.mlp.c_proj",
}
_BERT = {
    "embedding.tokens": "bert.embeddings.word_embeddings",
    "embedding.positions.table": "bert.embeddings.position_embeddings",
    "embedding.segments": "bert.embeddings.token_type_embeddings",
    "embedding.norm": "bert.embeddings.LayerNorm",
    "blocks.*.self_attention.query": "bert.encoder.layer.*.attention.self.query",
    "blocks.*.self_attention.key": "bert.encoder.layer.*.attention.self.key",
    "blocks.*.self_attention.value": "bert.encoder.layer.*.attention.self.value",
    "blocks.*.self_attention.output": "bert.encoder.layer.*.attention.output.dense",
    "blocks.*.self_attention_norm": "bert.encoder.layer.*.attention.output.LayerNorm",
    "blocks.*.feed_forward.up": "bert.encoder.layer.*.intermediate.dense",
    "blocks.*.feed_forward.down": "bert.encoder.layer.*.output.dense",
    "blocks.*.feed_forward_norm": "bert.encoder.layer.*.output.LayerNorm",
    "head.0": "cls.predictions.transform.dense",
    "head.2": "cls.predictions.transform.LayerNorm",
    "head.3": "cls.predictions.decoder",
    "head.3.bias": "cls.predictions.bias",  # nom complet : il n’a pas la forme des autres
}
_ROBERTA = {
    ours: theirs.replace("bert.", "roberta.")
    for ours, theirs in _BERT.items()
    if not ours.startswith("head.")
} | {
    "head.0": "lm_head.dense",
    "head.2": "lm_head.layer_norm",
    "head.3": "lm_head.decoder",
    "head.3.bias": "lm_head.bias",
}
_PUBLISHED = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "helium"), _PUBLISHED_LLAMA),
    "gpt2": _GPT2,
    "bert": _BERT,
    **dict.fromkeys(("roberta", "camembert"), _ROBERTA),
}
_PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class Place:
    """Le tenseur `name` du fichier contient un de nos poids.

    `transposed` : matrice (entrées, sorties) au lieu de (sorties, entrées). `part` : le poids en
    est la tranche 0, 1 ou 2 sur trois. `interleaved_heads` : les lignes de chaque tête, dont voici
    le nombre, vont par paires voisines.
    """

    name: str
    transposed: bool = False
    part: int | None = None
    interleaved_heads: int = 0

    def read(self, tensor: Tensor) -> Tensor:
        """Notre poids, tiré du tenseur du fichier ; souvent une vue, à recopier."""
        if self.transposed:
            tensor = tensor.T
        if self.part is not None:
            tensor = tensor.chunk(3)[self.part]
        if self.interleaved_heads:
            tensor = _separate_pairs(tensor, self.interleaved_heads)
        return tensor

    def file_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """La forme du tenseur du fichier, d’après celle de notre poids."""
        if self.part is not None:
            shape = (3 * shape[0], *shape[1:])
        return shape[::-1] if self.transposed else shape


def published_place(family: str, ours: str, heads: tuple[int, int] | None = None) -> Place:
    """Où un dossier de Hugging Face de la famille `family` range notre poids `ours`.

    `heads` : têtes de requêtes et têtes de clés ; Helium en a besoin, qui entrelace leurs paires.
    """
    name = _translate(_PUBLISHED[family], ours)
    if family == "helium":
        return _paired(name, ours, *heads)
    if family != "gpt2":
        return Place(name)
    layer = ours.split(".")[-2]
    is_matrix = ours.endswith(".weight") and re.search(r"\.c_\w+\.", name) is not None
    return Place(name, is_matrix, _PARTS.index(layer) if layer in _PARTS else None)


def gguf_place(ours: str, architecture: str, n_heads: int, n_kv_heads: int) -> Place:
    """Où un GGUF range notre poids `ours` ; seule l’architecture « llama » entrelace les paires."""
    name = _translate(_GGUF, ours)
    return _paired(name, ours, n_heads, n_kv_heads) if architecture == "llama" else Place(name)


def _paired(name: str, ours: str, n_heads: int, n_kv_heads: int) -> Place:
    heads = {"query": n_heads, "key": n_kv_heads}
    return Place(name, interleaved_heads=heads.get(ours.split(".")[-2], 0))


def pack(places: Mapping[str, Place], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """L’inverse de `Place.read` : nos poids, rangés sous les noms et les formes du fichier."""
    groups: dict[str, list[tuple[Place, Tensor]]] = {}
    for ours, place in places.items():
        groups.setdefault(place.name, []).append((place, tensors[ours]))
    return {name: _write(group) for name, group in groups.items()}


def _write(group: list[tuple[Place, Tensor]]) -> Tensor:
    ordered = sorted(group, key=lambda pair: pair[0].part or 0)
    place, tensor = ordered[0]
    if len(ordered) > 1:
        tensor = torch.cat([part for _, part in ordered])
    if place.interleaved_heads:
        tensor = _interleave_pairs(tensor, place.interleaved_heads)
    return (tensor.T if place.transposed else tensor).contiguous()


def _translate(names: Mapping[str, str], ours: str) -> str:
    if ours in names:
        return names[ours]
    stem, _, kind = ours.rpartition(".")
    match = re.match(r"blocks\.(\d+)\.", stem)
    if match is None:
        return f"{names[stem]}.{kind}"
    pattern = "blocks.*." + stem[match.end() :]
    return f"{names[pattern].replace('*', match[1])}.{kind}"


def _separate_pairs(tensor: Tensor, n_heads: int) -> Tensor:
    """Lignes (2i, 2i + 1) d’une tête → (i, i + Dh/2)."""
    pairs = tensor.unflatten(0, (n_heads, -1, 2))  # (H·Dh, …) → (H, Dh/2, 2, …)
    return pairs.transpose(1, 2).flatten(0, 2)  # (H, 2, Dh/2, …) → (H·Dh, …)


def _interleave_pairs(tensor: Tensor, n_heads: int) -> Tensor:
    """Lignes (i, i + Dh/2) d’une tête → (2i, 2i + 1)."""
    halves = tensor.unflatten(0, (n_heads, 2, -1))  # (H·Dh, …) → (H, 2, Dh/2, …)
    return halves.transpose(1, 2).flatten(0, 2)  # (H, Dh/2, 2, …) → (H·Dh, …)
