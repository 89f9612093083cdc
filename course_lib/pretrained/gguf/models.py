"""Les réglages d’un GGUF et notre configuration, dans les deux sens.

    llama.embedding_length, llama.block_count, llama.attention.head_count…     → LlamaConfig

Trois architectures se lisent et s’écrivent : « llama » (Llama, Mistral, SmolLM2), « qwen2 » et
« qwen3 ». L’étirement des positions de Llama 3.1 n’y est pas un réglage mais un tenseur,
`rope_freqs.weight` : de combien chaque fréquence est divisée.
Source : llama.cpp, `convert_hf_to_gguf.py`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib.pretrained.fields import Fields
from course_lib.transformer import LlamaConfig
from course_lib.transformer.positions import Llama3Scaling, rotary_frequencies

ARCHITECTURES = ("llama", "qwen2", "qwen3")
ROPE_FACTORS = "rope_freqs.weight"
_NAMES = {
    "d_model": "embedding_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "d_ff": "feed_forward_length",
    "rope_theta": "rope.freq_base",
    "norm_eps": "attention.layer_norm_rms_epsilon",
}
_ASSUMED = ("attention.value_length", "rope.scaling.type", "expert_count", "expert_used_count")
_HARMLESS = (
    "vocab_size",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "tensor_data_layout",
)


def config_from_gguf(
    metadata: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    rope_factors: Tensor | None = None,
) -> tuple[str, LlamaConfig]:
    """L’architecture d’un GGUF et notre configuration, d’après ses réglages et ses tenseurs.

    ValueError, avec le nom du réglage et sa valeur, si l’architecture n’est pas prise en charge, si
    un réglage manque, n’est pas du bon type, ou demande un calcul que nos modèles ne font pas.
    """
    _check_is_model(metadata)
    architecture = metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"general.architecture = {architecture!r} : on sait lire les GGUF "
            f"{', '.join(ARCHITECTURES)}. Choisissez-en un, ou lisez celui-ci avec llama.cpp."
        )
    prefix = f"{architecture}."
    content = {k.removeprefix(prefix): v for k, v in metadata.items() if k.startswith(prefix)}
    fields = Fields(content, f"GGUF {architecture}")
    sizes = _read_sizes(fields)
    used = {"context_length", "rope.dimension_count", *_NAMES.values(), *_ASSUMED, *_HARMLESS}
    for name in content.keys() - used:
        raise ValueError(
            f"{fields.where} : {name} = {content[name]!r} n’est pas pris en charge : ce réglage "
            "pourrait changer le calcul."
        )
    if "token_embd.weight" not in shapes:
        raise ValueError("Le GGUF n’a pas de tenseur « token_embd.weight », les embeddings.")
    theta = sizes["rope_theta"]
    return architecture, LlamaConfig(
        vocab_size=shapes["token_embd.weight"][0],
        context_length=fields.integer("context_length"),
        **sizes,
        tie_weights="output.weight" not in shapes,
        attention_bias=architecture == "qwen2",
        qk_norm=architecture == "qwen3",
        rope_scaling=_read_scaling(rope_factors, sizes["head_dim"], theta),
    )


def _check_is_model(metadata: Mapping[str, object]) -> None:
    """Un GGUF peut n’être qu’un adaptateur, un projecteur d’images, une matrice d’importance."""
    kind = metadata.get("general.type", "model")
    if kind != "model":
        raise ValueError(
            f"general.type = {kind!r} : ce GGUF n’est pas un modèle entier mais ce qui en complète "
            "un autre. Donnez le GGUF du modèle."
        )


def _read_sizes(fields: Fields) -> dict[str, int | float]:
    sizes = {
        name: fields.integer(_NAMES[name]) for name in ("d_model", "n_layers", "n_heads", "d_ff")
    }
    if sizes["n_heads"] < 1:
        raise ValueError(
            f"{fields.where} : {_NAMES['n_heads']} = {sizes['n_heads']} ; il faut 1 au moins."
        )
    sizes["n_kv_heads"] = fields.integer(_NAMES["n_kv_heads"], sizes["n_heads"])
    head_dim = fields.integer(_NAMES["head_dim"], sizes["d_model"] // sizes["n_heads"])
    for name in ("rope.dimension_count", "attention.value_length"):
        fields.demand(
            name, [head_dim], head_dim, "Nos têtes ont une seule taille et tournent en entier."
        )
    fields.demand(
        "rope.scaling.type", ["none"], "none", "On ne sait lire que l’étirement de Llama 3.1."
    )
    for name in ("expert_count", "expert_used_count"):
        fields.demand(name, [0], 0, "Les mélanges d’experts ne se lisent pas d’un GGUF.")
    sizes["head_dim"] = head_dim
    # Écrits sur 32 bits : 1e-5 s’y lit 9.99999974e-06.
    sizes["rope_theta"] = float(f"{fields.number(_NAMES['rope_theta'], 10000.0):.7g}")
    sizes["norm_eps"] = float(f"{fields.number(_NAMES['norm_eps']):.7g}")
    return sizes


def gguf_settings(config: LlamaConfig, architecture: str) -> dict[str, object]:
    """Les réglages d’un GGUF qui décrivent notre configuration, tels que llama.cpp les attend."""
    values = {_NAMES[name]: getattr(config, name) for name in _NAMES}
    values |= {
        "context_length": config.context_length,
        "attention.value_length": config.head_dim,
        "rope.dimension_count": config.head_dim,
        "vocab_size": config.vocab_size,
    }
    return {f"{architecture}.{name}": value for name, value in values.items()}


def rope_factors(scaling: Llama3Scaling, head_dim: int, theta: float) -> Tensor:
    """De combien l’étirement divise chacune des Dh/2 fréquences, (Dh/2,)."""
    frequencies = rotary_frequencies(head_dim, theta)
    return frequencies / scaling.slow_down(frequencies)


def _read_scaling(factors: Tensor | None, head_dim: int, theta: float) -> Llama3Scaling | None:
    """L’étirement publié avec Llama 3.1 et suivants, s’il explique ces facteurs."""
    if factors is None:
        return None
    greatest = float(factors.max()) if factors.shape == (head_dim // 2,) else 0.0
    if greatest >= 1.0:
        scaling = Llama3Scaling(factor=greatest)
        if torch.allclose(rope_factors(scaling, head_dim, theta), factors, rtol=1e-4):
            return scaling
    raise ValueError(
        f"Le tenseur « {ROPE_FACTORS} » étire les positions autrement que Llama 3.1 : on ne sait "
        "pas le refaire."
    )
