"""Chaque réglage de config.json changé : mêmes scores que `transformers`, ou refusé par son nom."""

import dataclasses
import json

import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from pretrained_references import FIRST_WORD, LLAMA3, VOCAB, reference, save_reference
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from course_lib.pretrained.families import FAMILIES, read_config
from course_lib.pretrained.loading import load_pretrained

# Ce que transformers lève devant des réglages qu’il ne veut pas.
REFUSALS = (StrictDataclassError, LookupError, AttributeError, TypeError)
CLASSES = {name: CONFIG_MAPPING[name] for name in FAMILIES}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
ROPES = [
    None,
    {},
    PLAIN,
    LLAMA3,
    {"rope_type": "default", "rope_theta": 500.0},
    {"type": "default"},
    {"type": "llama3", **{key: value for key, value in LLAMA3.items() if key != "rope_type"}},
    {"rope_type": "linear", "factor": 2.0},
    {"type": "dynamic", "factor": 2.0},
    YARN,
    {"rope_type": "longrope", "short_factor": [1.0] * 3, "long_factor": [2.0] * 3},
    {"rope_type": "default", "type": "yarn", "factor": 2.0},
    {"full_attention": PLAIN, "sliding_attention": PLAIN},
    {"rope_type": "default", "partial_rotary_factor": 0.5},
    {"factor": 4.0},
    {"rope_theta": 300.0},
]
NAMED = {
    "hidden_act": ["gelu", "relu", "swish", "gelu_new", "silu"],
    "activation_function": ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"],
    "layer_types": [["full_attention"] * 3, ["full_attention", "sliding_attention"] * 2, []],
    "rope_parameters": ROPES,
    "sliding_window": [None, 5, 23, 64],
    "head_dim": [None, 6, 14],
    "num_attention_heads": [1, 3, 15],
    "n_head": [1, 3, 21],
    "eos_token_id": [7, [7, 9]],
    "pad_token_id": [3],
}
# Ce qu’un config.json porte sans que la famille le déclare : anciens noms, autres familles.
EXTRA = {
    "rope_scaling": ROPES,
    "rope_theta": [500.0, 10000.0],
    "partial_rotary_factor": [0.5, 1.0],
    "original_max_position_embeddings": [16],
    "position_embedding_type": ["absolute", "relative_key"],
    "is_decoder": [True],
    "is_causal": [False, True],
    "is_encoder_decoder": [True],
    "add_cross_attention": [True],
    "tie_word_embeddings": [True, False],
    "torch_dtype": ["float16", "bfloat16"],
    "dtype": ["float16"],
    "layer_types": NAMED["layer_types"],
    "sliding_window": [5],
    "head_dim": NAMED["head_dim"],
    "num_attention_heads": [3],
    "hidden_size": [42],
    "num_hidden_layers": [1],
    "n_layer": [1, 2],
    "logit_scale": [0.5, 1.0],
    "final_logit_softcapping": [30.0, None],
    "quantization_config": [{"quant_method": "gptq", "bits": 4}, None],
    "auto_map": [{"AutoModel": "modeling.Other"}],
    "architectures": [["LlamaBiModel"], ["Qwen3MoeForCausalLM"]],
    "model_type": ["qwen3", "llama", "qwen2", "mistral", "helium", "roberta"],
}


def values_for(name, default):
    """D’autres valeurs pour un réglage, d’après celle qu’il a."""
    if name in NAMED:
        return NAMED[name]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int):
        return [default + 1]
    if isinstance(default, float):
        return [2 * default + 0.1]
    return ["autre"] if isinstance(default, str) else [0.5]


def changes(family):
    """(nom, valeur) pour chaque réglage déclaré par transformers, et pour ceux d’EXTRA."""
    declared = json.loads(json.dumps(reference(family).config.to_dict()))
    fields = {field.name for field in dataclasses.fields(CLASSES[family])}
    for name in sorted(fields & declared.keys()):
        yield from ((name, value) for value in values_for(name, declared[name]))
    rotary = "rope_parameters" in declared
    for name in sorted(EXTRA if rotary else EXTRA.keys() - {"rope_scaling", "head_dim"}):
        yield from ((name, value) for value in EXTRA[name])


@torch.no_grad()
def gap_with_transformers(ours, model, folder):
    """Le plus grand écart des scores avec ceux que `transformers` tire du même dossier."""
    config = transformers.AutoConfig.from_pretrained(folder)
    theirs = type(model)(config).eval()
    theirs.load_state_dict(model.state_dict())
    width = min(19, ours.embedding.context_length)
    ids = torch.randint(FIRST_WORD, VOCAB, (2, width), generator=torch.Generator().manual_seed(0))
    return float((ours(ids) - theirs(ids, return_dict=True).logits).abs().max())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`rope_scaling` is deprecated:FutureWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_each_setting_is_obeyed_or_refused(family, tmp_path):
    model = reference(family)
    folder = save_reference(model, family, tmp_path)
    path = folder / "config.json"
    whole = json.loads(path.read_text("utf-8"))
    refused, obeyed = set(), set()
    for name, value in changes(family):
        path.write_text(json.dumps(whole | {name: value}), encoding="utf-8")
        try:
            ours = load_pretrained(folder).model
        except ValueError:
            refused.add(name)
            continue
        try:
            gap = gap_with_transformers(ours, model, folder)
        except REFUSALS:
            continue  # transformers lui-même n’en veut pas : rien à comparer
        assert gap <= 1e-5, f"{name} = {value!r} : écart de {gap}"
        obeyed.add(name)
    assert {"quantization_config", "auto_map", "architectures", "logit_scale"} <= refused
    assert {"eos_token_id", "dtype", "torch_dtype"} <= obeyed
    rotary = family not in ("gpt2", "bert", "roberta", "camembert")
    assert ("rope_scaling" in refused and "rope_scaling" in obeyed) or not rotary


def settings_of(family, **changes):
    return json.loads(json.dumps(reference(family).config.to_dict())) | changes


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rope_scaling": YARN}, "rope_scaling : type = 'yarn'"),
        ({"rope_scaling": LLAMA3}, "rope_parameters = .* et rope_scaling = .* se contredisent"),
        ({"rope_theta": 500.0}, "rope_theta = 500.0 d’un côté et 10000.0 parmi"),
        ({"rope_parameters": {"rope_type": "default", "type": "yarn"}}, "type = 'yarn' se contr"),
        ({"rope_parameters": {"full_attention": PLAIN}}, "par sorte d’étage .full_attention."),
        ({"rope_parameters": PLAIN | {"factor": 4.0}}, "factor = 4.0 n’est pas pris en charge"),
        (
            {"rope_parameters": LLAMA3, "original_max_position_embeddings": 8},
            "original_max_position_embeddings = 8 d’un côté et 16",
        ),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config .méthode awq."),
        ({"logit_scale": 0.5}, "logit_scale = 0.5 n’est pas pris en charge"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "vient avec son propre code.*retirez « auto_map »"),
        ({"architectures": ["LlamaBiModel"]}, "architectures = .'LlamaBiModel'."),
        ({"architectures": "LlamaModel"}, "il faut une liste de noms"),
        ({"model_type": None}, "« model_type » manque.*Est-ce bien le config.json"),
    ],
)
def test_contradictions_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        read_config(settings_of("llama", **change))


def test_the_same_positions_written_twice_are_read():
    old = {key: value for key, value in LLAMA3.items() if key not in ("rope_type", "rope_theta")}
    twice = settings_of("llama3", rope_scaling=old | {"type": "llama3"})
    assert read_config(twice) == read_config(settings_of("llama3"))


def test_a_setting_under_two_names_must_agree():
    read_config(settings_of("gpt2", num_attention_heads=7))
    with pytest.raises(ValueError, match=r"n_head = 7 et num_attention_heads = 3.*se contredisent"):
        read_config(settings_of("gpt2", num_attention_heads=3))


def test_every_other_family_is_refused_by_its_name():
    others, settings = sorted(CONFIG_MAPPING.keys() - FAMILIES.keys()), settings_of("llama")
    assert {"qwen3_moe", "gemma3_text", "phi", "xlm-roberta", "mixtral"} <= set(others)
    for other in others:
        with pytest.raises(
            ValueError, match=f"model_type = '{other}' ; on sait charger llama, mis"
        ):
            read_config(settings | {"model_type": other})
