"""Le Transformer, en quatre étages : attention, blocs, modèles, architectures."""

from course_lib.transformer.architectures import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    OriginalTransformerConfig,
    bert,
    gpt2,
    llama,
    original_encoder,
    original_transformer,
)
from course_lib.transformer.attention import Attention, causal_mask, scaled_dot_product
from course_lib.transformer.blocks import Block, FeedForward, SwiGLU
from course_lib.transformer.cache import KVCache, ModelCache
from course_lib.transformer.experts import MixtureOfExperts
from course_lib.transformer.mixtral import (
    MixtralConfig,
    SwitchConfig,
    mixtral,
    switch_transformer,
)
from course_lib.transformer.models import (
    Decoder,
    Encoder,
    EncoderDecoder,
    InputEmbedding,
    count_parameters,
)
from course_lib.transformer.modes import evaluating

__all__ = [
    "Attention",
    "BertConfig",
    "Block",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "FeedForward",
    "GPT2Config",
    "InputEmbedding",
    "KVCache",
    "LlamaConfig",
    "MixtralConfig",
    "MixtureOfExperts",
    "ModelCache",
    "OriginalTransformerConfig",
    "SwiGLU",
    "SwitchConfig",
    "bert",
    "causal_mask",
    "count_parameters",
    "evaluating",
    "gpt2",
    "llama",
    "mixtral",
    "original_encoder",
    "original_transformer",
    "scaled_dot_product",
    "switch_transformer",
]
