"""Ce que l’enregistrement d’un modèle chargé reprend de ses fichiers, et la précision des poids."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib.pretrained.folders.origin import Origin

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_NOT_KEPT = {"_from_model_config", "transformers_version", "eos_token_id", "bos_token_id"} | {
    "pad_token_id"
}
_TOKENIZER_KEYS = (  # ce que nos tokeniseurs ne portent pas et qui ne change pas un encodage
    "additional_special_tokens",
    "extra_special_tokens",
    "sep_token",
    "cls_token",
    "mask_token",
    "padding_side",
    "truncation_side",
    "model_max_length",
)
_END_KEYS = ("eos", "eot", "eom")  # ceux que load_pretrained et llama.cpp lisent d’un GGUF


def kept_settings(content: Mapping[str, object], origin: Origin | None) -> dict[str, object]:
    """Le config.json à écrire : les positions et la famille du fichier dont vient le modèle.

    Un modèle chargé n’a souvent que 8 192 positions, faute de mémoire ; il en avait appris plus. Sa
    table de positions apprises, elle, a été coupée avec le contexte : elle reste courte.
    """
    content = dict(content)
    if origin is None or "max_position_embeddings" not in content:
        return content
    content["max_position_embeddings"] = origin.context_length
    if origin.family == "mistral" and content["model_type"] == "llama":
        del content["mlp_bias"]
        whole = origin.settings.get("max_position_embeddings", origin.context_length)
        content |= {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "max_position_embeddings": whole,
            "sliding_window": origin.settings.get("sliding_window", origin.context_length),
        }
    return content


def kept_generation(origin: Origin | None) -> dict[str, object]:
    """Température, top-p, pénalités… : generation_config.json sans ses jetons, écrits à part."""
    if origin is None:
        return {}
    return {name: value for name, value in origin.generation.items() if name not in _NOT_KEPT}


def kept_tokenizer_settings(origin: Origin | None) -> dict[str, object]:
    """Les jetons spéciaux et les côtés que nos tokeniseurs ne portent pas."""
    if origin is None:
        return {}
    return {
        name: origin.tokenizer_settings[name]
        for name in _TOKENIZER_KEYS
        if name in origin.tokenizer_settings
    }


def kept_gguf_settings(
    metadata: Mapping[str, object], architecture: str, source: Origin | None, same: Origin | None
) -> dict[str, object]:
    """Les positions et les jetons de fin d’un GGUF ; `same` : l’origine si le tokeniseur y est.

    Avertit (UserWarning) des jetons de fin qu’un GGUF ne sait pas dire.
    """
    kept: dict[str, object] = {}
    if source is not None:
        kept[f"{architecture}.context_length"] = source.context_length
    if same is None or len(same.eos_ids) < 2:
        return kept
    named = metadata.get("tokenizer.ggml.eos_token_id")
    ends = sorted(same.eos_ids, key=lambda end: end != named)  # celui du tokeniseur d’abord
    kept |= {
        f"tokenizer.ggml.{key}_token_id": end for key, end in zip(_END_KEYS, ends, strict=False)
    }
    if len(ends) > len(_END_KEYS):
        warnings.warn(
            f"Ce modèle a {len(ends)} jetons de fin, et un GGUF n’en dit que {len(_END_KEYS)} : "
            f"{ends[len(_END_KEYS) :]} n’y sont pas. Donnez-les en l’employant (stop_ids).",
            stacklevel=4,
        )
    return kept


def as_dtype(weights: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Les poids à la précision `dtype` ; ValueError si l’un la déborde ou si elle est inconnue."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype = {dtype!r} : choisissez parmi {', '.join(DTYPES)}.")
    converted = {}
    for name, weight in weights.items():
        converted[name] = weight.to(DTYPES[dtype])
        if not bool(converted[name].isfinite().all()):
            raise ValueError(
                f"« {name} » a une valeur de {weight.abs().max():.6g}, trop grande pour {dtype} "
                f'({torch.finfo(DTYPES[dtype]).max:.6g} au plus) : gardez dtype="float32", ou '
                "prenez « bfloat16 »."
            )
    return converted
