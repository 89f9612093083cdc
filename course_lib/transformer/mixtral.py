"""Deux modèles à experts, bâtis avec nos blocs : Mixtral (décodeur) et Switch (encodeur-décodeur).

mixtral               2024   Llama dont chaque réseau devient un mélange d’experts
switch_transformer    2021   le Transformer de 2017 aux milliers d’experts
"""

from dataclasses import dataclass

from torch import nn

from course_lib.transformer.attention import Attention, check_heads
from course_lib.transformer.blocks import Block, FeedForward, SwiGLU
from course_lib.transformer.experts import MixtureOfExperts, check_experts
from course_lib.transformer.initialization import initialize_normal, initialize_xavier
from course_lib.transformer.llama import LlamaConfig, llama_attention, llama_positions
from course_lib.transformer.models import Decoder, Encoder, EncoderDecoder, InputEmbedding
from course_lib.transformer.positions import SinusoidalPositions
from course_lib.transformer.sizes import check_sizes


@dataclass(frozen=True)
class MixtralConfig(LlamaConfig):
    """Tailles d’un Llama à experts : `n_experts` par étage, `n_active` pour chaque jeton."""

    n_experts: int = 8
    n_active: int = 2

    def __post_init__(self):
        super().__post_init__()
        check_experts(self.n_experts, self.n_active)


def mixtral(config: MixtralConfig, seed: int = 0) -> Decoder:
    """Décodeur de type Mixtral (Jiang et al. 2024) ; `seed` fixe le tirage des poids."""

    def norm() -> nn.RMSNorm:
        return nn.RMSNorm(config.d_model, config.norm_eps)

    def block() -> Block:
        experts = MixtureOfExperts(
            config.d_model,
            lambda: SwiGLU(config.d_model, config.d_ff),
            config.n_experts,
            config.n_active,
        )
        return Block(llama_attention(config), experts, norm, dropout=config.dropout)

    embedding = InputEmbedding(
        config.vocab_size, config.d_model, config.context_length, dropout=config.dropout
    )
    blocks = [block() for _ in range(config.n_layers)]
    head = nn.Linear(config.d_model, config.vocab_size, bias=False)
    if config.tie_weights:
        head.weight = embedding.tokens.weight
    decoder = Decoder(embedding, blocks, norm=norm(), head=head, rope=llama_positions(config))
    return initialize_normal(decoder, seed)


@dataclass(frozen=True)
class SwitchConfig:
    """Tailles d’un Switch Transformer dont tous les réseaux sont des mélanges d’experts."""

    vocab_size: int
    context_length: int = 512
    d_model: int = 512
    n_encoder_layers: int = 6
    n_decoder_layers: int = 6
    n_heads: int = 8
    head_dim: int = 64
    d_ff: int = 2048
    n_experts: int = 8
    dropout: float = 0.0
    norm_eps: float = 1e-6
    pad_id: int | None = 0

    def __post_init__(self):
        check_sizes(self)
        check_heads(self.d_model, self.n_heads, self.n_heads, self.head_dim)


def switch_transformer(config: SwitchConfig, seed: int = 0) -> EncoderDecoder:
    """Switch Transformer (Fedus et al. 2021) : un seul expert par jeton, embeddings partagés.

    Ce qui diffère de l’original, bâti sur T5 : des positions sinusoïdales au lieu des biais de
    position relative (1 920 paramètres sur 1 571 milliards pour Switch-C), pas de capacité limite
    par expert, pas de perte d’équilibrage.
    """

    def norm() -> nn.RMSNorm:
        return nn.RMSNorm(config.d_model, config.norm_eps)

    def attention() -> Attention:
        heads = (config.n_heads, config.n_heads, config.head_dim)
        return Attention(config.d_model, *heads, bias=False, dropout=config.dropout)

    def block(cross: bool) -> Block:
        experts = MixtureOfExperts(
            config.d_model,
            lambda: FeedForward(config.d_model, config.d_ff, "relu", bias=False),
            config.n_experts,
            n_active=1,
            renormalize=False,
        )
        other = attention() if cross else None
        return Block(attention(), experts, norm, cross_attention=other, dropout=config.dropout)

    def embedding() -> InputEmbedding:
        positions = SinusoidalPositions(config.context_length, config.d_model)
        sizes = (config.vocab_size, config.d_model, config.context_length)
        return InputEmbedding(*sizes, positions=positions, dropout=config.dropout)

    encoder_blocks = [block(cross=False) for _ in range(config.n_encoder_layers)]
    encoder = Encoder(embedding(), encoder_blocks, norm=norm(), pad_id=config.pad_id)
    decoder_blocks = [block(cross=True) for _ in range(config.n_decoder_layers)]
    head = nn.Linear(config.d_model, config.vocab_size, bias=False)
    decoder = Decoder(embedding(), decoder_blocks, norm=norm(), head=head)
    shared = encoder.embedding.tokens.weight
    decoder.embedding.tokens.weight = decoder.head.weight = shared
    return initialize_xavier(EncoderDecoder(encoder, decoder), seed)
