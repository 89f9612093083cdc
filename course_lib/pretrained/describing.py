"""Décrire notre configuration dans le `config.json` que `transformers` lit.

llama    sans biais ni norme dans l’attention
qwen2    des biais aux requêtes, aux clés et aux valeurs
qwen3    une norme des requêtes et des clés de chaque tête
gpt2     GPT-2
"""

from course_lib.pretrained.families import Config
from course_lib.transformer import GPT2Config, LlamaConfig


def write_config(config: Config) -> dict[str, object]:
    """Le config.json (llama, qwen2, qwen3 ou gpt2) qui décrit notre configuration.

    ValueError si transformers n’accepterait pas ces tailles, ou n’a pas ce calcul.
    """
    if isinstance(config, GPT2Config):
        return _write_gpt2(config)
    if type(config) is not LlamaConfig:
        raise ValueError(
            f"On ne sait pas écrire un {type(config).__name__} : donnez un LlamaConfig ou un "
            "GPT2Config."
        )
    if config.d_model % config.n_heads != 0 and not config.qk_norm:
        raise ValueError(
            f"d_model = {config.d_model} n’est pas un multiple de n_heads = {config.n_heads} : "
            "transformers refuse de tels modèles."
        )
    return _write_llama(config)


def written_family(config: LlamaConfig) -> str:
    """La famille sous laquelle un modèle de type Llama s’écrit, en dossier comme en GGUF.

    ValueError s’il a des biais et des normes de tête : aucune n’a les deux.
    """
    if config.attention_bias and config.qk_norm:
        raise ValueError(
            "attention_bias = True et qk_norm = True : aucune famille publiée n’a, comme ce "
            "modèle, des biais jusqu’aux valeurs et des normes de tête. Choisissez l’un ou l’autre "
            "(qwen2 ou qwen3), ou gardez ce modèle dans son dossier d’entraînement."
        )
    return "qwen2" if config.attention_bias else "qwen3" if config.qk_norm else "llama"


_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_OWN = {  # ce que chaque famille ajoute, à sa valeur neutre
    "llama": {"mlp_bias": False},
    "qwen2": {"use_sliding_window": False},
    "qwen3": {"use_sliding_window": False, "attention_bias": False},
}


def _write_llama(config: LlamaConfig) -> dict[str, object]:
    family, scaling = written_family(config), config.rope_scaling
    content = {
        "architectures": [_CLASSES[family]],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "tie_word_embeddings": config.tie_weights,
    }
    if scaling is not None:
        content["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context_length,
        }
    return content | _OWN[family]


def _write_gpt2(config: GPT2Config) -> dict[str, object]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.d_ff,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "tie_word_embeddings": True,
    }
