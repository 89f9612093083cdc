"""L’anatomie d’un modèle : ce qu’une configuration dit de ses piles de blocs et de sa tête.

Compter des paramètres, des opérations ou des octets demande toujours les mêmes tailles ; on les lit
ici une fois pour toutes les architectures.
"""

from dataclasses import dataclass
from functools import singledispatch

from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
)


@dataclass(frozen=True)
class Stack:
    """Une pile de blocs identiques. `norm_size` : paramètres d’une norme (D, ou 2 D avec biais)."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    bias: bool  # biais de l’attention et des réseaux
    gated: bool  # SwiGLU : trois matrices au lieu de deux
    norm_size: int
    final_norm: bool
    n_experts: int = 0  # 0 : un réseau ordinaire, sans routeur
    n_active: int = 0
    causal: bool = True
    cross: bool = False
    projection_bias: bool = False  # biais des requêtes, clés et valeurs seulement (Qwen2)
    qk_norm: bool = False  # une norme des requêtes et une des clés de chaque tête (Qwen3)

    @property
    def attention_matrices(self) -> int:
        """Paramètres des quatre matrices d’une attention, sans biais."""
        return 2 * self.d_model * self.head_dim * (self.n_heads + self.n_kv_heads)

    @property
    def attention_biases(self) -> int:
        """Paramètres des biais d’une attention."""
        projections = self.head_dim * (self.n_heads + 2 * self.n_kv_heads)
        if self.bias:
            return projections + self.d_model
        return projections if self.projection_bias else 0

    @property
    def network_matrices(self) -> int:
        """Paramètres des matrices d’un réseau (d’un expert), sans biais."""
        return (3 if self.gated else 2) * self.d_model * self.d_ff

    @property
    def networks_read(self) -> int:
        """Nombre de réseaux que traverse un jeton dans un bloc."""
        return self.n_active if self.n_experts else 1


@dataclass(frozen=True)
class Anatomy:
    """Un modèle en chiffres.

    `head_parameters` ne compte pas les poids liés à la table de plongement.
    """

    decoder: Stack | None
    encoder: Stack | None
    vocab_size: int  # scores en sortie
    context_length: int
    embeddings: int
    positions: int
    embedding_norm: int
    head_parameters: int
    head_matrices: int  # nombre de poids par lesquels un jeton est multiplié dans la tête

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Les piles présentes, encodeur d’abord."""
        return tuple(stack for stack in (self.encoder, self.decoder) if stack is not None)


@singledispatch
def anatomy(config: object) -> Anatomy:
    """Lit les tailles d’une configuration ; TypeError si l’on ne connaît pas son architecture."""
    raise TypeError(
        f"{type(config).__name__} n’est pas une architecture connue : donnez une configuration de "
        "course_lib.transformer (GPT2Config, LlamaConfig, BertConfig, MixtralConfig, SwitchConfig "
        "ou OriginalTransformerConfig), ou le champ config d’un modèle de MODELS."
    )


@anatomy.register
def _(config: GPT2Config) -> Anatomy:
    d = config.d_model
    heads = (config.n_heads, config.n_heads, d // config.n_heads)
    stack = Stack(config.n_layers, d, *heads, config.d_ff, True, False, 2 * d, final_norm=True)
    return Anatomy(
        decoder=stack,
        encoder=None,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        embeddings=config.vocab_size * d,
        positions=config.context_length * d,
        embedding_norm=0,
        head_parameters=0,
        head_matrices=config.vocab_size * d,
    )


@anatomy.register
def _(config: LlamaConfig) -> Anatomy:
    d = config.d_model
    heads = (config.n_heads, config.n_kv_heads, config.head_dim)
    experts = (config.n_experts, config.n_active) if isinstance(config, MixtralConfig) else (0, 0)
    sizes = (config.n_layers, d, *heads, config.d_ff, False, True, d, True, *experts)
    stack = Stack(*sizes, projection_bias=config.attention_bias, qk_norm=config.qk_norm)
    return Anatomy(
        decoder=stack,
        encoder=None,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        embeddings=config.vocab_size * d,
        positions=0,
        embedding_norm=0,
        head_parameters=0 if config.tie_weights else config.vocab_size * d,
        head_matrices=config.vocab_size * d,
    )


@anatomy.register
def _(config: BertConfig) -> Anatomy:
    d = config.d_model
    heads = (config.n_heads, config.n_heads, d // config.n_heads)
    sizes = (config.n_layers, d, *heads, config.d_ff, True, False, 2 * d)
    return Anatomy(
        decoder=None,
        encoder=Stack(*sizes, final_norm=False, causal=False),
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        embeddings=(config.vocab_size + config.n_segments) * d,
        positions=(config.first_position + config.context_length) * d,
        embedding_norm=2 * d,
        # Une couche d → d, sa norme, et un biais par mot : la matrice finale est liée.
        head_parameters=d * d + d + 2 * d + config.vocab_size,
        head_matrices=d * d + config.vocab_size * d,
    )


@anatomy.register
def _(config: OriginalTransformerConfig) -> Anatomy:
    d = config.d_model
    heads = (config.n_heads, config.n_heads, d // config.n_heads)
    sizes = (d, *heads, config.d_ff, True, False, 2 * d)
    final = config.norm_first
    target = config.target_vocab_size * d
    return Anatomy(
        decoder=Stack(config.n_decoder_layers, *sizes, final_norm=final, cross=True),
        encoder=Stack(config.n_encoder_layers, *sizes, final_norm=final, causal=False),
        vocab_size=config.target_vocab_size,
        context_length=config.context_length,
        embeddings=config.source_vocab_size * d + target,
        positions=0,
        embedding_norm=0,
        head_parameters=0 if config.tie_weights else target,
        head_matrices=target,
    )


@anatomy.register
def _(config: SwitchConfig) -> Anatomy:
    d = config.d_model
    heads = (config.n_heads, config.n_heads, config.head_dim)
    sizes = (d, *heads, config.d_ff, False, False, d, True, config.n_experts, 1)
    return Anatomy(
        decoder=Stack(config.n_decoder_layers, *sizes, cross=True),
        encoder=Stack(config.n_encoder_layers, *sizes, causal=False),
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        embeddings=config.vocab_size * d,
        positions=0,
        embedding_norm=0,
        head_parameters=0,
        head_matrices=config.vocab_size * d,
    )
