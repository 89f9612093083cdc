"""Ce qu’un config.json peut demander de plus que sa famille : refusé, jamais ignoré.

`transformers` ignore un réglage que la famille n’a pas. Le modèle qui le déclare a pourtant appris
avec : le lire sans lui donnerait d’autres nombres que les siens.
"""

import re
from collections.abc import Iterable, Mapping

from course_lib.pretrained.fields import Fields

_QUANTIZED = "Cherchez une version du modèle aux poids ordinaires (bf16, f16 ou f32), ou en GGUF."
_OTHER_NETWORK = "Nos modèles n’ont pas ce réglage, et il change le calcul."
_OFF = (None, False)
_ONE = (None, 1, 1.0)
_NEUTRAL: dict[str, tuple] = {  # réglages d’autres familles → valeurs qui ne changent rien
    **dict.fromkeys(
        ("logit_scale", "logits_scaling", "embedding_multiplier", "residual_multiplier"), _ONE
    ),
    **dict.fromkeys(("rotary_pct", "rotary_emb_fraction", "rope_pct"), _ONE),
    **dict.fromkeys(
        ("use_qk_norm", "qk_norm", "qk_layernorm", "use_qk_layernorm", "alibi", "parallel_attn"),
        _OFF,
    ),
    **dict.fromkeys(("use_parallel_residual", "rope_interleaved", "is_encoder_decoder"), _OFF),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), (None, 0)),
    **dict.fromkeys(
        ("attention_multiplier", "query_pre_attn_scalar", "clip_qkv", "attention_chunk_size"),
        (None,),
    ),
    **dict.fromkeys(("final_logit_softcapping", "attn_logit_softcapping"), (None, 0, 0.0)),
    **dict.fromkeys(("scale_emb", "scale_depth", "dim_model_base"), (None,)),
    "no_rope_layers": (None, []),
}
_HEADS = "ForCausalLM|LMHeadModel|DoubleHeadsModel|Model|ForMaskedLM|ForPreTraining"


def check_foreign(fields: Fields, family: str, causal: bool) -> None:
    """ValueError, avec le nom et la valeur, si le fichier demande ce que la famille n’a pas."""
    _check_not_quantized(fields.content, fields.where)
    for name, neutral in _NEUTRAL.items():
        fields.demand(name, neutral, None, _OTHER_NETWORK)
    fields.demand("is_causal", (None, causal), None, "Le sens de lecture change le calcul.")
    if fields.content.get("auto_map") is not None:
        raise ValueError(
            f"{fields.where} : auto_map = {fields.content['auto_map']!r} : ce modèle vient avec "
            "son propre code, que l’on n’exécute pas, et son calcul peut différer de celui de sa "
            "famille. Si ce code n’est qu’une copie de la famille, retirez « auto_map »."
        )
    _check_architectures(fields, family)


def check_aliases(fields: Fields, aliases: Mapping[str, str]) -> None:
    """Refuse un réglage écrit sous deux noms, avec deux valeurs."""
    for alias, own in aliases.items():
        written = fields.content.get(alias)
        if written is not None and written != fields.content.get(own):
            raise ValueError(
                f"{fields.where} : {own} = {fields.content.get(own)!r} et {alias} = {written!r}, "
                "qui le répète sous un autre nom, se contredisent. Retirez le mauvais."
            )


def check_layer_types(fields: Fields, accepted: Iterable[str]) -> None:
    """Refuse un étage d’une autre sorte que celles de `accepted`."""
    layers = fields.content.get("layer_types")
    if layers is not None and (
        not isinstance(layers, list) or set(map(str, layers)) - set(accepted)
    ):
        raise ValueError(
            f"{fields.where} : layer_types = {layers!r} n’est pas pris en charge : notre attention "
            "lit tout le contexte, à chaque étage."
        )


def _check_not_quantized(content: Mapping[str, object], where: str) -> None:
    for name in ("quantization_config", "compression_config", "quantization"):
        value = content.get(name)
        if value is not None:
            method = value.get("quant_method") if isinstance(value, dict) else None
            shown = f"(méthode {method})" if isinstance(method, str) else f"= {value!r}"
            raise ValueError(f"{where} : {name} {shown} n’est pas pris en charge. {_QUANTIZED}")


def _check_architectures(fields: Fields, family: str) -> None:
    """Un nom de classe étranger à la famille : un autre réseau, sous le même model_type."""
    names = fields.content.get("architectures")
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{fields.where} : architectures = {names!r} ; il faut une liste de noms.")
    for name in names:
        if not re.fullmatch(f"{family}({_HEADS})", name, re.IGNORECASE):
            raise ValueError(
                f"{fields.where} : architectures = {names!r} ; pour model_type = {family!r}, on ne "
                "lit qu’un modèle de langue ou un encodeur nu : le calcul d’un autre différerait."
            )
