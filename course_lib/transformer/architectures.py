"""Quatre architectures célèbres, bâties avec les mêmes blocs.

Une configuration dit les tailles et les vérifie ; une fonction bâtit le modèle et tire ses poids.

    original_transformer   2017   encodeur-décodeur, norme après, positions sinusoïdales
    bert                   2018   encodeur, norme après, positions apprises
    gpt2                   2019   décodeur, norme avant, positions apprises
    llama                  2023   décodeur, norme avant, positions rotatives, RMSNorm, SwiGLU
"""

import math
from dataclasses import dataclass

from torch import nn

from course_lib.transformer.attention import Attention, check_heads
from course_lib.transformer.blocks import Block, FeedForward
from course_lib.transformer.derived import derived
from course_lib.transformer.initialization import initialize_normal, initialize_xavier
from course_lib.transformer.llama import LlamaConfig, llama
from course_lib.transformer.models import Decoder, Encoder, EncoderDecoder, InputEmbedding
from course_lib.transformer.positions import LearnedPositions, SinusoidalPositions
from course_lib.transformer.sizes import check_sizes

__all__ = [
    "BertConfig",
    "GPT2Config",
    "LlamaConfig",
    "OriginalTransformerConfig",
    "bert",
    "gpt2",
    "llama",
    "original_encoder",
    "original_transformer",
]


@dataclass(frozen=True)
class OriginalTransformerConfig:
    """Tailles du Transformer de 2017 ; par défaut, celles du modèle « base » de l’article.

    `norm_first=True` normalise avant chaque sous-couche : plus stable, c’est l’usage depuis 2019.
    """

    source_vocab_size: int
    target_vocab_size: int
    context_length: int = 512
    d_model: int = 512
    n_encoder_layers: int = 6
    n_decoder_layers: int = 6
    n_heads: int = 8
    d_ff: int = 2048
    dropout: float = 0.1
    norm_eps: float = 1e-5
    norm_first: bool = False
    tie_weights: bool = False
    pad_id: int | None = 0

    def __post_init__(self):
        check_sizes(self)
        check_heads(self.d_model, self.n_heads, self.n_heads)


def original_transformer(config: OriginalTransformerConfig, seed: int = 0) -> EncoderDecoder:
    """Le Transformer de Vaswani et al. 2017 ; `seed` fixe le tirage des poids."""
    encoder = _original_encoder(config)
    decoder = Decoder(
        _original_embedding(config, config.target_vocab_size),
        [_original_block(config, cross=True) for _ in range(config.n_decoder_layers)],
        norm=_original_norm(config) if config.norm_first else None,
        head=nn.Linear(config.d_model, config.target_vocab_size, bias=False),
    )
    if config.tie_weights:
        decoder.head.weight = decoder.embedding.tokens.weight
    return initialize_xavier(EncoderDecoder(encoder, decoder), seed)


def original_encoder(config: OriginalTransformerConfig, seed: int = 0) -> Encoder:
    """L’encodeur de 2017 seul, avec une tête : un mot de la cible par jeton de la source."""
    head = nn.Linear(config.d_model, config.target_vocab_size)
    return initialize_xavier(_original_encoder(config, head), seed)


def _original_encoder(config: OriginalTransformerConfig, head: nn.Module | None = None) -> Encoder:
    return Encoder(
        _original_embedding(config, config.source_vocab_size),
        [_original_block(config) for _ in range(config.n_encoder_layers)],
        norm=_original_norm(config) if config.norm_first else None,
        head=head,
        pad_id=config.pad_id,
    )


def _original_embedding(config: OriginalTransformerConfig, vocab_size: int) -> InputEmbedding:
    return InputEmbedding(
        vocab_size,
        config.d_model,
        config.context_length,
        positions=SinusoidalPositions(config.context_length, config.d_model),
        scale=math.sqrt(config.d_model),
        dropout=config.dropout,
    )


def _original_block(config: OriginalTransformerConfig, cross: bool = False) -> Block:
    def attention() -> Attention:
        return Attention(config.d_model, config.n_heads, dropout=config.dropout)

    return Block(
        attention(),
        FeedForward(config.d_model, config.d_ff, "relu"),
        lambda: _original_norm(config),
        cross_attention=attention() if cross else None,
        norm_first=config.norm_first,
        dropout=config.dropout,
    )


def _original_norm(config: OriginalTransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, config.norm_eps)


@dataclass(frozen=True)
class BertConfig:
    """Tailles de BERT ; par défaut, celles de BERT-base.

    `positions_after_pad` : la table des positions commence par `pad_id` + 1 lignes sans emploi, et
    la première position est la suivante (RoBERTa, CamemBERT).
    """

    vocab_size: int = 30522
    context_length: int = 512
    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 12
    d_ff: int = 3072
    n_segments: int = 2
    dropout: float = 0.1
    norm_eps: float = 1e-12
    pad_id: int | None = 0
    positions_after_pad: bool = False

    def __post_init__(self):
        check_sizes(self)
        check_heads(self.d_model, self.n_heads, self.n_heads)
        if self.positions_after_pad and self.pad_id is None:
            raise ValueError(
                "positions_after_pad = True et pad_id = None : les positions commencent après "
                "l’identifiant du remplissage. Donnez pad_id (1 chez RoBERTa)."
            )

    @property
    def first_position(self) -> int:
        """La ligne de la table des positions que prend le premier jeton."""
        return self.pad_id + 1 if self.positions_after_pad else 0


def bert(config: BertConfig, seed: int = 0) -> Encoder:
    """BERT (Devlin et al. 2018) et sa tête qui devine les mots cachés, liée aux embeddings."""

    def norm() -> nn.LayerNorm:
        return nn.LayerNorm(config.d_model, config.norm_eps)

    embedding = InputEmbedding(
        config.vocab_size,
        config.d_model,
        config.context_length,
        positions=LearnedPositions(config.context_length, config.d_model, config.first_position),
        n_segments=config.n_segments,
        norm=norm(),
        dropout=config.dropout,
    )
    blocks = [
        Block(
            Attention(config.d_model, config.n_heads, dropout=config.dropout),
            FeedForward(config.d_model, config.d_ff, "gelu"),
            norm,
            norm_first=False,
            dropout=config.dropout,
        )
        for _ in range(config.n_layers)
    ]
    to_words = nn.Linear(config.d_model, config.vocab_size)
    to_words.weight = embedding.tokens.weight
    transform = nn.Linear(config.d_model, config.d_model)
    head = nn.Sequential(transform, nn.GELU(), norm(), to_words)
    return initialize_normal(Encoder(embedding, blocks, head=head, pad_id=config.pad_id), seed)


@dataclass(frozen=True)
class GPT2Config:
    """Tailles de GPT-2 ; par défaut, celles du petit modèle publié (124 millions)."""

    vocab_size: int = 50257
    context_length: int = 1024
    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 12
    d_ff: int | None = derived(lambda config: 4 * config.d_model)
    dropout: float = 0.1
    norm_eps: float = 1e-5

    def __post_init__(self):
        check_sizes(self)
        check_heads(self.d_model, self.n_heads, self.n_heads)


def gpt2(config: GPT2Config, seed: int = 0) -> Decoder:
    """GPT-2 (Radford et al. 2019) : tête liée aux embeddings."""

    def norm() -> nn.LayerNorm:
        return nn.LayerNorm(config.d_model, config.norm_eps)

    embedding = InputEmbedding(
        config.vocab_size,
        config.d_model,
        config.context_length,
        positions=LearnedPositions(config.context_length, config.d_model),
        dropout=config.dropout,
    )
    blocks = [
        Block(
            Attention(config.d_model, config.n_heads, dropout=config.dropout),
            FeedForward(config.d_model, config.d_ff, "gelu_tanh"),
            norm,
            dropout=config.dropout,
        )
        for _ in range(config.n_layers)
    ]
    head = nn.Linear(config.d_model, config.vocab_size, bias=False)
    head.weight = embedding.tokens.weight
    return initialize_normal(Decoder(embedding, blocks, norm=norm(), head=head), seed)
