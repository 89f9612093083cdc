"""Llama et ses proches : décodeurs à norme avant, positions rotatives, RMSNorm et SwiGLU.

Llama 1 et 2, SmolLM2    les réglages par défaut
Mistral                  moins de têtes de clés que de requêtes (n_kv_heads)
Qwen2                    des biais aux requêtes, aux clés et aux valeurs (attention_bias)
Qwen3                    une norme des requêtes et des clés de chaque tête (qk_norm)
Llama 3.1 et suivants    des positions étirées (rope_scaling)
"""

import math
from dataclasses import dataclass, fields

from torch import nn

from course_lib.transformer.attention import Attention, check_heads
from course_lib.transformer.blocks import Block, SwiGLU
from course_lib.transformer.derived import derived, given
from course_lib.transformer.initialization import initialize_normal
from course_lib.transformer.models import Decoder, InputEmbedding
from course_lib.transformer.normalization import RMSNorm
from course_lib.transformer.positions import Llama3Scaling, RotaryPositions
from course_lib.transformer.sizes import check_sizes


@dataclass(frozen=True)
class LlamaConfig:
    """Tailles d’un modèle de type Llama.

    `n_kv_heads` : par défaut n_heads. `head_dim` : par défaut d_model / n_heads. `d_ff` : par
    défaut 8/3 de d_model, arrondi au multiple de 32 supérieur ; la porte de SwiGLU coûte une
    matrice de plus, ce compte égale alors 4 × d_model. `replace` les déduit à nouveau.
    `attention_bias` : des biais aux requêtes, aux clés et aux valeurs, aucun à la sortie (Qwen2).
    `rope_scaling` : l’étirement des positions de Llama 3.1, ou le dictionnaire de ses champs.
    `qk_norm` : une RMSNorm des requêtes de chaque tête, une autre de ses clés (Qwen3).
    """

    vocab_size: int
    context_length: int = 2048
    d_model: int = 512
    n_layers: int = 8
    n_heads: int = 8
    n_kv_heads: int | None = derived(lambda config: config.n_heads)
    head_dim: int | None = derived(lambda config: config.d_model // config.n_heads)
    d_ff: int | None = derived(lambda config: 32 * math.ceil(8 * config.d_model / 3 / 32))
    rope_theta: float = 10000.0
    dropout: float = 0.0
    norm_eps: float = 1e-5
    tie_weights: bool = True
    attention_bias: bool = False
    rope_scaling: Llama3Scaling | dict | None = None
    qk_norm: bool = False

    def __post_init__(self):
        object.__setattr__(self, "rope_scaling", _read_scaling(self.rope_scaling))
        check_sizes(self)
        if self.rope_theta <= 0.0:
            raise ValueError(
                f"rope_theta = {self.rope_theta} : il faut un nombre positif (10000 souvent)."
            )
        check_heads(self.d_model, self.n_heads, self.n_kv_heads, given(self, "head_dim"))
        if self.head_dim % 2 != 0:
            raise ValueError(
                f"head_dim = {self.head_dim} est impair : les positions rotatives tournent des "
                "paires de coordonnées. Choisissez d_model / n_heads pair."
            )


def _read_scaling(scaling: Llama3Scaling | dict | None) -> Llama3Scaling | None:
    """L’étirement, relu d’un dictionnaire s’il vient d’un fichier JSON."""
    if scaling is None or isinstance(scaling, Llama3Scaling):
        return scaling
    names = [field.name for field in fields(Llama3Scaling)]
    if not isinstance(scaling, dict) or not set(scaling) <= set(names):
        raise ValueError(
            f"rope_scaling = {scaling!r} : il faut un Llama3Scaling, ou un dictionnaire de ses "
            f"réglages ({', '.join(names)})."
        )
    return Llama3Scaling(**scaling)


def llama(config: LlamaConfig, seed: int = 0) -> Decoder:
    """Décodeur de type Llama (Touvron et al. 2023)."""

    def norm() -> RMSNorm:
        return RMSNorm(config.d_model, config.norm_eps)

    embedding = InputEmbedding(
        config.vocab_size, config.d_model, config.context_length, dropout=config.dropout
    )
    blocks = [
        Block(
            llama_attention(config),
            SwiGLU(config.d_model, config.d_ff),
            norm,
            dropout=config.dropout,
        )
        for _ in range(config.n_layers)
    ]
    head = nn.Linear(config.d_model, config.vocab_size, bias=False)
    if config.tie_weights:
        head.weight = embedding.tokens.weight
    decoder = Decoder(embedding, blocks, norm=norm(), head=head, rope=llama_positions(config))
    return initialize_normal(decoder, seed)


def llama_attention(config: LlamaConfig) -> Attention:
    """L’attention d’un étage."""

    def head_norm() -> RMSNorm:
        return RMSNorm(config.head_dim, config.norm_eps)

    return Attention(
        config.d_model,
        config.n_heads,
        config.n_kv_heads,
        config.head_dim,
        bias=config.attention_bias,
        output_bias=False,
        dropout=config.dropout,
        make_head_norm=head_norm if config.qk_norm else None,
    )


def llama_positions(config: LlamaConfig) -> RotaryPositions:
    """Les positions rotatives, communes à tous les étages."""
    return RotaryPositions(
        config.context_length, config.head_dim, config.rope_theta, config.rope_scaling
    )
