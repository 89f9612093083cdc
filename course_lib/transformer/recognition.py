"""Retrouver les tailles d’un décodeur déjà bâti : de quoi l’écrire, puis le rebâtir."""

from torch import nn

from course_lib.transformer.architectures import GPT2Config
from course_lib.transformer.blocks import FeedForward, SwiGLU
from course_lib.transformer.llama import LlamaConfig
from course_lib.transformer.models import Decoder
from course_lib.transformer.positions import LearnedPositions


def config_of(model: nn.Module) -> LlamaConfig | GPT2Config:
    """La configuration qui rebâtit ce décodeur, sans son abandon, inutile pour écrire.

    ValueError si le modèle n’est ni de type Llama, ni de type GPT-2, ou si ses étages n’ont pas
    tous les mêmes tailles.
    """
    if isinstance(model, Decoder) and len(model.blocks) > 0:
        if _is_llama(model):
            _check_even(model)
            return _llama_config(model)
        if _is_gpt2(model):
            _check_even(model)
            return _gpt2_config(model)
    raise ValueError(
        f"Ce {type(model).__name__} n’est ni de type Llama (positions rotatives, RMSNorm, SwiGLU), "
        "ni de type GPT-2 (positions apprises, LayerNorm, tête liée). Construisez-le avec "
        "llama(LlamaConfig(…)) ou gpt2(GPT2Config(…))."
    )


def _check_even(model: Decoder) -> None:
    """ValueError si deux étages diffèrent par leurs têtes ou leurs neurones."""
    sizes = [
        (block.self_attention.n_heads, block.self_attention.n_kv_heads, _n_neurons(block))
        for block in model.blocks
    ]
    for index, size in enumerate(sizes):
        if size != sizes[0]:
            raise ValueError(
                f"L’étage {index} a (têtes, têtes de clés, neurones) = {size}, et le premier "
                f"{sizes[0]} : une configuration n’a qu’une taille pour tous. Élaguez-les autant "
                "l’un que l’autre."
            )


def _n_neurons(block: nn.Module) -> int:
    return block.feed_forward.down.in_features


def _is_llama(model: Decoder) -> bool:
    embedding = model.embedding
    return (
        model.rope is not None
        and embedding.positions is None
        and _is_plain(model, nn.RMSNorm, SwiGLU)
        and len({_head_norm_eps(block.self_attention) for block in model.blocks}) == 1
        and _head_norm_eps(model.blocks[0].self_attention) in (None, model.norm.eps)
        and all(
            _has_bias(attention.query) == _has_bias(attention.key) == _has_bias(attention.value)
            and _has_bias(attention.query) == _has_bias(model.blocks[0].self_attention.query)
            and not _has_bias(attention.output)
            for attention in (block.self_attention for block in model.blocks)
        )
    )


def _is_gpt2(model: Decoder) -> bool:
    return (
        model.rope is None
        and isinstance(model.embedding.positions, LearnedPositions)
        and model.head.weight is model.embedding.tokens.weight
        and _is_plain(model, nn.LayerNorm, FeedForward)
        and all(_head_norm_eps(block.self_attention) is None for block in model.blocks)
        and all(
            _has_bias(layer)
            for block in model.blocks
            for layer in (*block.self_attention.children(), block.feed_forward.up)
        )
        and all(
            isinstance(block.feed_forward.activation, nn.GELU)
            and block.feed_forward.activation.approximate == "tanh"
            for block in model.blocks
        )
    )


def _is_plain(model: Decoder, norm: type, feed_forward: type) -> bool:
    """Norme avant, ni segments, ni échelle, ni attention croisée, une tête sans biais."""
    embedding = model.embedding
    return (
        isinstance(model.norm, norm)
        and isinstance(model.head, nn.Linear)
        and not _has_bias(model.head)
        and embedding.segments is None
        and embedding.norm is None
        and embedding.scale == 1.0
        and all(
            block.norm_first
            and block.cross_attention is None
            and isinstance(block.feed_forward, feed_forward)
            and isinstance(block.self_attention_norm, norm)
            for block in model.blocks
        )
    )


def _has_bias(layer: nn.Linear) -> bool:
    return layer.bias is not None


def _head_norm_eps(attention: nn.Module) -> float | str | None:
    """L’ε des normes d’une tête ; None sans norme, « autre » si ce n’en sont pas de Qwen3."""
    norms = (attention.query_norm, attention.key_norm)
    if norms == (None, None):
        return None
    if not all(isinstance(norm, nn.RMSNorm) for norm in norms) or norms[0].eps != norms[1].eps:
        return "autre"
    return norms[0].eps


def _llama_config(model: Decoder) -> LlamaConfig:
    attention = model.blocks[0].self_attention
    vocab_size, d_model = model.embedding.tokens.weight.shape
    return LlamaConfig(
        vocab_size=vocab_size,
        context_length=model.embedding.context_length,
        d_model=d_model,
        n_layers=len(model.blocks),
        n_heads=attention.n_heads,
        n_kv_heads=attention.n_kv_heads,
        head_dim=attention.head_dim,
        d_ff=model.blocks[0].feed_forward.gate.out_features,
        rope_theta=model.rope.theta,
        norm_eps=model.norm.eps,
        tie_weights=model.head.weight is model.embedding.tokens.weight,
        attention_bias=_has_bias(attention.query),
        rope_scaling=model.rope.scaling,
        qk_norm=attention.query_norm is not None,
    )


def _gpt2_config(model: Decoder) -> GPT2Config:
    vocab_size, d_model = model.embedding.tokens.weight.shape
    attention = model.blocks[0].self_attention
    if attention.n_heads * attention.head_dim != d_model:
        raise ValueError(
            f"Il reste {attention.n_heads} têtes de {attention.head_dim}, et d_model = {d_model} : "
            "une configuration de type GPT-2 veut leur produit. N’en élaguez que les neurones."
        )
    return GPT2Config(
        vocab_size=vocab_size,
        context_length=model.embedding.context_length,
        d_model=d_model,
        n_layers=len(model.blocks),
        n_heads=attention.n_heads,
        d_ff=model.blocks[0].feed_forward.up.out_features,
        dropout=0.0,
        norm_eps=model.norm.eps,
    )
