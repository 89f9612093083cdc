"""Les familles publiées : réglages lus et écrits, noms traduits, refus nommés."""

import dataclasses
import json
import re

import gguf
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from pretrained_references import (
    CONTEXT,
    LAYERS,
    LLAMA3,
    REFERENCES,
    VOCAB,
    family_of,
    reference,
)
from torch.testing import assert_close

from course_lib.pretrained.describing import write_config, written_family
from course_lib.pretrained.families import FAMILIES, read_config
from course_lib.pretrained.fields import Fields
from course_lib.pretrained.gguf.models import config_from_gguf, gguf_settings, rope_factors
from course_lib.pretrained.places import Place, gguf_place, pack, published_place
from course_lib.scaling.parameters import count_by_formula
from course_lib.transformer import BertConfig, GPT2Config, LlamaConfig, MixtralConfig
from course_lib.transformer.meta import build_on_meta
from course_lib.transformer.positions import Llama3Scaling

CLASSES = {
    "llama": transformers.LlamaConfig,
    "mistral": transformers.MistralConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
    "helium": transformers.HeliumConfig,
    "gpt2": transformers.GPT2Config,
    "bert": transformers.BertConfig,
    "roberta": transformers.RobertaConfig,
    "camembert": transformers.CamembertConfig,
}
SIZES = {"vocab_size": VOCAB, "context_length": CONTEXT, "n_layers": LAYERS, "d_ff": 37}
HELIUM = SIZES | {"d_model": 30, "n_heads": 5, "n_kv_heads": 1, "norm_eps": 1e-8, "rope_theta": 1e5}
ROBERTA = BertConfig(
    **SIZES, d_model=21, n_heads=3, n_segments=1, dropout=0.0, pad_id=1, positions_after_pad=True
)
EXPECTED = {
    "llama": LlamaConfig(**SIZES, d_model=30, n_heads=5, norm_eps=1e-6, tie_weights=False),
    "llama3": LlamaConfig(
        **SIZES,
        d_model=30,
        n_heads=5,
        norm_eps=1e-6,
        rope_scaling=Llama3Scaling(original_context_length=16),
    ),
    "mistral": LlamaConfig(
        **(SIZES | {"context_length": 23}),
        d_model=30,
        n_heads=5,
        n_kv_heads=1,
        head_dim=14,
        norm_eps=1e-6,
        tie_weights=False,
    ),
    "qwen2": LlamaConfig(
        **SIZES, d_model=30, n_heads=5, n_kv_heads=1, norm_eps=1e-6, attention_bias=True
    ),
    "qwen3": LlamaConfig(
        **SIZES,
        d_model=29,
        n_heads=5,
        n_kv_heads=1,
        head_dim=14,
        norm_eps=1e-6,
        tie_weights=False,
        qk_norm=True,
    ),
    "helium": LlamaConfig(**HELIUM, tie_weights=False),
    "helium-biased": LlamaConfig(**HELIUM, attention_bias=True),
    "gpt2": GPT2Config(**SIZES, d_model=21, n_heads=7, dropout=0.0),
    "bert": BertConfig(**SIZES, d_model=21, n_heads=3, dropout=0.0),
    "roberta": ROBERTA,
    "camembert": ROBERTA,
}


def published_settings(name):
    """Le config.json que transformers écrit pour ce modèle."""
    return json.loads(json.dumps(REFERENCES[name]().config.to_dict()))


# ------------------------------------------------------------------ config.json


@pytest.mark.parametrize("name", EXPECTED)
def test_settings_of_transformers(name):
    family, config = read_config(published_settings(name))
    assert (family.name, config) == (family_of(name), EXPECTED[name])


# Les config.json publiés, réduits aux champs qui comptent, et leur nombre exact de paramètres.
LLAMA_1B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "tie_word_embeddings": True,
}
SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 49152,
}
MISTRAL_7B = {
    "model_type": "mistral",
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "vocab_size": 32000,
}
QWEN2_HALF = {
    "model_type": "qwen2",
    "hidden_act": "silu",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
GPT2 = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-05,
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
BERT_BASE = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
QWEN3_SMALL = {
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
HELIUM_2B = {
    "model_type": "helium",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 2560,
    "intermediate_size": 7040,
    "max_position_embeddings": 4096,
    "mlp_bias": False,
    "num_attention_heads": 20,
    "num_hidden_layers": 24,
    "num_key_value_heads": 20,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-08,
    "rope_theta": 100000.0,
    "tie_word_embeddings": False,
    "vocab_size": 48000,
}
CAMEMBERT_BASE = {
    "model_type": "camembert",
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "output_past": True,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "vocab_size": 32005,
}
MINIMAL = {
    "llama": SMOLLM2,
    "mistral": MISTRAL_7B,
    "qwen2": QWEN2_HALF,
    "qwen3": QWEN3_SMALL,
    "helium": HELIUM_2B,
    "gpt2": GPT2,
    "bert": BERT_BASE,
    "roberta": CAMEMBERT_BASE | {"model_type": "roberta"},
    "camembert": CAMEMBERT_BASE,
}


@pytest.mark.parametrize(
    "settings, parameters, context_length",
    [
        (SMOLLM2, 134_515_008, 8192),
        (LLAMA_1B, 1_235_814_400, 131_072),
        (MISTRAL_7B, 7_241_732_096, 4096),
        (MISTRAL_7B | {"sliding_window": None}, 7_241_732_096, 32_768),
        (QWEN2_HALF, 494_032_768, 32_768),
        (QWEN3_SMALL, 596_049_920, 40_960),
        (HELIUM_2B, 2_172_643_840, 4096),
        (GPT2, 124_439_808, 1024),
        (BERT_BASE, 109_514_298, 512),
        (CAMEMBERT_BASE, 110_655_493, 512),
    ],
)
def test_published_models_have_their_published_size(settings, parameters, context_length):
    _, config = read_config(settings)
    assert count_by_formula(config) == parameters
    assert config.context_length == context_length


# Ce que transformers lit et qui ne change rien au calcul d’un modèle chargé.
HARMLESS = {
    "architectures", "attention_dropout", "attention_probs_dropout_prob", "attn_pdrop",
    "bos_token_id", "chunk_size_feed_forward", "classifier_dropout", "dtype", "embd_pdrop",
    "eos_token_id", "hidden_dropout_prob", "id2label", "initializer_range", "is_encoder_decoder",
    "label2id", "max_window_layers", "output_attentions", "output_hidden_states", "pad_token_id",
    "pretraining_tp", "problem_type", "reorder_and_upcast_attn", "resid_pdrop", "return_dict",
    "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
    "summary_use_proj", "transformers_version", "use_cache",
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_every_setting_of_transformers_is_read_or_harmless(name):
    """Un champ que transformers ajouterait demain ferait échouer ce test."""

    class Watched(dict):
        def get(self, key, default=None):
            read.add(key)
            return super().get(key, default)

    read = set()
    FAMILIES[name].read_config(Fields(Watched(MINIMAL[name]), "config.json"))
    declared = {field.name for field in dataclasses.fields(CLASSES[name])}
    # Qwen : sans fenêtre glissante (vérifié), sa largeur ne sert pas.
    unused = HARMLESS | ({"sliding_window"} if name.startswith("qwen") else set())
    assert declared - read - unused == set()


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("llama", {"model_type": "gemma3"}, r"model_type = 'gemma3' ; on sait charger llama, mist"),
        ("llama", {"hidden_act": "gelu"}, r"hidden_act = 'gelu' .*attendu : 'silu'"),
        ("llama", {"attention_bias": True}, "attention_bias = True"),
        ("llama", {"mlp_bias": True}, "mlp_bias = True"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "type = 'linear'"),
        ("llama", {"rope_scaling": {"rope_type": "yarn"}}, "rope_type = 'yarn' .*modèle faux"),
        ("llama", {"rope_scaling": {"rope_type": "llama3"}}, "« factor » manque"),
        ("llama", {"rope_scaling": "linear"}, "rope_scaling = 'linear' ; il faut un dict"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
        ("llama", {"quantization_config": {"bits": 4}}, r"quantization_config = \{'bits': 4\}"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window = True"),
        ("qwen2", {"layer_types": ["sliding_attention"]}, "layer_types = .'sliding_attention'"),
        ("llama", {"model_type": "gemma3_text"}, "'gemma3_text'.*celui-ci avec transformers"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window = True"),
        ("qwen3", {"attention_bias": True}, "attention_bias = True .*jusqu’à la sortie"),
        ("qwen3", {"layer_types": ["sliding_attention"]}, "layer_types = .'sliding_attention'"),
        ("qwen3", {"rope_scaling": {"rope_type": "yarn"}}, "rope_type = 'yarn' .*modèle faux"),
        ("qwen3", {"num_key_value_heads": None}, "num_key_value_heads » manque"),
        ("helium", {"mlp_bias": True}, "mlp_bias = True"),
        ("helium", {"layer_types": ["sliding_attention"]}, "layer_types = .'sliding_attention'"),
        ("helium", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("gpt2", {"activation_function": "relu"}, "activation_function = 'relu'"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights = False"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx = True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention = True"),
        ("gpt2", {"tie_word_embeddings": False}, "tie_word_embeddings = False .*est liée"),
        ("bert", {"hidden_act": "gelu_new"}, "hidden_act = 'gelu_new'"),
        ("bert", {"position_embedding_type": "relative_key"}, "type = 'relative_key'"),
        ("bert", {"is_decoder": True}, "is_decoder = True"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention = True"),
        ("bert", {"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ("camembert", {"position_embedding_type": "relative_key"}, "type = 'relative_key'"),
        ("camembert", {"is_decoder": True}, "is_decoder = True .*les deux sens"),
        ("roberta", {"hidden_act": "gelu_new"}, "hidden_act = 'gelu_new'"),
        ("roberta", {"tie_word_embeddings": False}, "tie_word_embeddings = False .*est liée"),
        ("roberta", {"max_position_embeddings": 2}, "context_length = 0"),
        ("llama", {"hidden_size": "576"}, "hidden_size = '576' ; il faut un entier"),
        ("llama", {"hidden_size": True}, "hidden_size = True ; il faut un entier"),
        ("llama", {"hidden_size": 576.0}, r"hidden_size = 576\.0 ; il faut un entier"),
        ("llama", {"hidden_size": 10**12}, "hidden_size = 1000000000000 ; il faut 16777216 au"),
        ("llama", {"num_hidden_layers": -1}, "n_layers = -1"),
        ("llama", {"rms_norm_eps": float("nan")}, "rms_norm_eps = nan ; il faut un nombre fini"),
        ("llama", {"tie_word_embeddings": 1}, "tie_word_embeddings = 1 ; il faut vrai ou faux"),
        ("mistral", {"sliding_window": "4096"}, "sliding_window = '4096'"),
    ],
)
def test_what_our_models_cannot_do_is_refused_by_name(name, change, message):
    with pytest.raises(ValueError, match=message):
        read_config(MINIMAL[name] | change)


OPTIONAL = {"hidden_act", "activation_function", "head_dim", "sliding_window", "pad_token_id"} | {
    "tie_word_embeddings", "num_key_value_heads", "use_sliding_window", "max_window_layers",
    "rope_theta", "rope_scaling", "is_llama_config", "pretraining_tp", "rope_interleaved",
    "torch_dtype", "n_ctx", "attention_bias", "mlp_bias", "output_past",
}  # fmt: skip


def optional(name):
    """Le nombre de têtes de clés ne se devine que chez Llama."""
    return OPTIONAL if name == "llama" else OPTIONAL - {"num_key_value_heads"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_missing_size_is_named(name):
    needed = MINIMAL[name].keys() - optional(name) - {"model_type"}
    assert len(needed) >= 6
    for field in needed:
        settings = {key: value for key, value in MINIMAL[name].items() if key != field}
        with pytest.raises(ValueError, match=f"le champ « {field} » manque"):
            read_config(settings)


def test_default_values_are_those_of_transformers():
    for name in FAMILIES:
        kept = MINIMAL[name].keys() - optional(name)
        settings = {key: value for key, value in MINIMAL[name].items() if key in kept}
        theirs = CLASSES[name](**{key: settings[key] for key in kept - {"model_type"}})
        # Ce dictionnaire dit tout, valeurs par défaut comprises.
        whole = json.loads(json.dumps(theirs.to_dict()))
        if name == "bert":  # un BERT ancien n’en dit rien, et n’ignore alors aucun jeton
            settings["pad_token_id"] = 0
        assert read_config(settings) == read_config(whole)


@st.composite
def configs(draw):
    small = st.integers(1, 13)
    heads, groups, half = draw(small), draw(small), draw(small)
    sizes = {
        "vocab_size": draw(small),
        "context_length": draw(small),
        "n_layers": draw(st.integers(1, 3)),
        "n_heads": heads * groups,
        "d_model": heads * groups * draw(small),
        "d_ff": draw(small),
        "norm_eps": draw(st.sampled_from([1e-5, 1e-6, 3e-7])),
    }
    if draw(st.booleans()):
        return GPT2Config(**sizes, dropout=0.0)
    return LlamaConfig(
        **sizes,
        n_kv_heads=heads,
        head_dim=2 * half,
        rope_theta=draw(st.floats(2.0, 1e7)),
        tie_weights=draw(st.booleans()),
        **draw(st.sampled_from([{}, {"attention_bias": True}, {"qk_norm": True}])),
        rope_scaling=draw(st.sampled_from([None, Llama3Scaling(3.0, 0.5, 7.0, 11)])),
    )


@given(configs())
def test_what_we_write_we_read_back(config):
    family, again = read_config(json.loads(json.dumps(write_config(config))))
    assert again == config
    assert family.name == ("gpt2" if isinstance(config, GPT2Config) else written_family(config))


def test_what_transformers_would_refuse_is_not_written():
    with pytest.raises(ValueError, match="d_model = 13 n’est pas un multiple de n_heads = 3"):
        write_config(LlamaConfig(VOCAB, d_model=13, n_heads=3, head_dim=4))
    with pytest.raises(ValueError, match="attention_bias = True et qk_norm = True : aucune"):
        write_config(LlamaConfig(VOCAB, attention_bias=True, qk_norm=True))
    for config in (BertConfig(), MixtralConfig(VOCAB)):
        with pytest.raises(ValueError, match=f"écrire un {type(config).__name__}"):
            write_config(config)


# ------------------------------------------------------------------ noms et rangements


def named_parameters(name):
    """Les paramètres de transformers ; un poids lié n’y est que sous le nom de l’original."""
    family = FAMILIES[family_of(name)]
    found = list(reference(name).named_parameters(remove_duplicate=False))
    shared = {id(p) for one, p in found if family.canonical(one) in family.copies.values()}
    return {
        one: p
        for one, p in found
        if family.canonical(one) not in family.copies or id(p) not in shared
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_names_and_shapes_of_transformers(name):
    """Chaque tenseur de transformers a sa place, et chaque place a la bonne forme."""
    theirs = {name: tuple(p.shape) for name, p in named_parameters(name).items()}
    ours = dict(build_on_meta(EXPECTED[name]).named_parameters())
    places = {one: published_place(family_of(name), one, (5, 1)) for one in ours}
    shapes = {places[one].name: places[one].file_shape(tuple(p.shape)) for one, p in ours.items()}
    assert shapes == theirs


@pytest.mark.parametrize("name", EXPECTED)
def test_packing_undoes_reading(name):
    state = named_parameters(name)
    ours = [one for one, _ in build_on_meta(EXPECTED[name]).named_parameters()]
    places = {one: published_place(family_of(name), one, (5, 1)) for one in ours}
    weights = {one: place.read(state[place.name]) for one, place in places.items()}
    packed = pack(places, weights)
    assert packed.keys() == state.keys()
    assert all(torch.equal(packed[one], state[one]) for one in packed)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_gguf_names_are_those_of_llama_cpp(architecture):
    table = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture.upper()), LAYERS)
    shape = EXPECTED["qwen3" if architecture == "qwen3" else "qwen2"]
    for ours, _ in build_on_meta(shape).named_parameters():
        published = published_place(architecture, ours).name
        expected = table.get_name(published, (".weight", ".bias"))
        assert gguf_place(ours, architecture, 5, 1).name == expected


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
def test_llama_rows_are_interleaved_as_in_llama_cpp(n_heads, half, width):
    """`LlamaModel.permute` de convert_hf_to_gguf.py, recopiée."""
    weight = torch.randn(n_heads * 2 * half, width)
    permuted = weight.reshape(n_heads, 2, half, width).swapaxes(1, 2).reshape(weight.shape)
    place = gguf_place("blocks.0.self_attention.query.weight", "llama", n_heads, 1)
    assert torch.equal(pack({"q": place}, {"q": weight})[place.name], permuted)
    assert torch.equal(place.read(permuted), weight)


def test_only_queries_and_keys_of_llama_are_interleaved():
    def heads(layer, architecture):
        return gguf_place(f"blocks.2.{layer}.weight", architecture, 5, 1).interleaved_heads

    layers = ("self_attention.query", "self_attention.key", "self_attention.value")
    assert [heads(layer, "llama") for layer in layers] == [5, 1, 0]
    for architecture in ("qwen2", "qwen3"):
        assert [heads(layer, architecture) for layer in layers] == [0, 0, 0]


def test_helium_rows_need_the_number_of_heads():
    places = [
        published_place("helium", f"blocks.2.self_attention.{layer}.weight", (5, 1))
        for layer in ("query", "key", "value", "output")
    ]
    assert [place.interleaved_heads for place in places] == [5, 1, 0, 0]
    with pytest.raises(TypeError):  # oubliées, elles donneraient un modèle faux
        published_place("helium", "blocks.2.self_attention.query.weight")


def test_three_matrices_in_one_are_told_apart():
    packed = torch.arange(12.0).reshape(2, 6)
    parts = [Place("c_attn", transposed=True, part=part).read(packed) for part in range(3)]
    assert torch.equal(torch.cat(parts).T, packed)
    assert parts[1].tolist() == [[2.0, 8.0], [3.0, 9.0]]


# ------------------------------------------------------------------ GGUF


def gguf_content(config, architecture, **changes):
    settings = {"general.architecture": architecture, **gguf_settings(config, architecture)}
    settings |= {f"{architecture}.{name}": value for name, value in changes.items()}
    shapes = {"token_embd.weight": (config.vocab_size, config.d_model)}
    return settings, shapes if config.tie_weights else shapes | {"output.weight": (1, 1)}


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "helium"])
def test_gguf_settings_round_trip(name):
    architecture = written_family(EXPECTED[name])
    content = gguf_content(EXPECTED[name], architecture)
    assert config_from_gguf(*content) == (architecture, EXPECTED[name])


def test_numbers_on_32_bits_are_read_as_written():
    content = gguf_content(EXPECTED["llama"], "llama")
    content[0]["llama.attention.layer_norm_rms_epsilon"] = float(torch.tensor(1e-6))
    assert config_from_gguf(*content)[1].norm_eps == 1e-6


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_rope_factors_of_llama_3(factor):
    scaling = Llama3Scaling(factor)
    config = LlamaConfig(
        VOCAB, d_model=64, n_heads=1, d_ff=37, rope_theta=5e5, rope_scaling=scaling
    )
    factors = rope_factors(scaling, 64, 5e5)
    assert factors.shape == (32,)
    assert factors.min() == 1.0 and factors.max() == pytest.approx(factor)
    content = gguf_content(config, "llama")
    assert config_from_gguf(*content, factors)[1].rope_scaling.factor == pytest.approx(factor)
    for wrong in (factors * 1.1, factors[:-1], torch.zeros(32), torch.full((32,), torch.nan)):
        with pytest.raises(ValueError, match=r"« rope_freqs\.weight » étire .* autrement"):
            config_from_gguf(*content, wrong)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"expert_count": 8}, "expert_count = 8 n’est pas pris en charge"),
        ({"rope.scaling.type": "yarn"}, r"rope\.scaling\.type = 'yarn'"),
        ({"rope.dimension_count": 4}, r"rope\.dimension_count = 4 .*attendu : 6"),
        ({"attention.value_length": 4}, r"attention\.value_length = 4"),
        ({"attention.head_count": [5, 5]}, r"attention\.head_count = \[5, 5\] ; il faut un entier"),
        ({"attention.head_count": 0}, r"attention\.head_count = 0"),
        ({"logit_scale": 0.5}, "logit_scale = 0.5 n’est pas pris en charge"),
        ({"block_count": None}, "« block_count » manque"),
    ],
)
def test_gguf_settings_that_change_the_computation_are_refused(change, message):
    content = gguf_content(EXPECTED["llama"], "llama", **change)
    with pytest.raises(ValueError, match=message):
        config_from_gguf(*content)


ACCEPTED = {"context_length", "vocab_size", "tensor_data_layout", "rope.scaling.finetuned"} | {
    "rope.scaling.original_context_length"
}


def test_every_other_setting_of_llama_cpp_is_refused():
    """Tous les réglages d’architecture que connaît le paquet `gguf`, nos propres mis à part."""
    settings, shapes = gguf_content(EXPECTED["llama"], "llama")
    tables = [table for table in vars(gguf.Keys).values() if isinstance(table, type)]
    names = {key for table in tables for key in vars(table).values() if isinstance(key, str)}
    names = {key.replace("{arch}", "llama") for key in names if key.startswith("{arch}.")}
    assert {"llama.attention.sliding_window", "llama.logit_scale", "llama.rope.scaling.factor"} <= (
        names
    )
    for name in sorted(names - settings.keys() - {f"llama.{one}" for one in ACCEPTED}):
        with pytest.raises(ValueError, match=re.escape(name.removeprefix("llama."))):
            config_from_gguf(settings | {name: 3}, shapes)


@pytest.mark.parametrize("kind", ["adapter", "mmproj", "imatrix"])
def test_a_gguf_that_is_not_a_model_is_refused(kind):
    settings, shapes = gguf_content(EXPECTED["llama"], "llama")
    with pytest.raises(ValueError, match=f"general.type = '{kind}' .* n’est pas un modèle entier"):
        config_from_gguf(settings | {"general.type": kind}, shapes)


def test_other_gguf_are_refused():
    with pytest.raises(ValueError, match=r"general\.architecture = 'gemma'.*llama, qwen2, qwen3"):
        config_from_gguf({"general.architecture": "gemma"}, {})
    with pytest.raises(ValueError, match=r"pas de tenseur « token_embd\.weight »"):
        config_from_gguf(gguf_content(EXPECTED["llama"], "llama")[0], {})


# ------------------------------------------------------------------ positions étirées


@pytest.mark.parametrize("scaling", [LLAMA3, LLAMA_1B["rope_scaling"] | {"rope_theta": 5e5}])
def test_llama_3_positions_equal_transformers(scaling):
    theirs = transformers.LlamaConfig(
        hidden_size=64, num_attention_heads=1, rope_parameters=dict(scaling)
    )
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(theirs)
    ours = Llama3Scaling(
        scaling["factor"], original_context_length=scaling["original_max_position_embeddings"]
    )
    frequencies = scaling["rope_theta"] ** (-torch.arange(0, 64, 2) / 64)
    assert_close(ours.slow_down(frequencies), rotary.inv_freq, rtol=1e-5, atol=0)
    slowest = (ours.slow_down(frequencies) / frequencies).min()
    assert slowest == pytest.approx(1 / scaling["factor"])
