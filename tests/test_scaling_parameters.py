"""Les paramètres comptés par formule, sur « meta », et par ceux qui ont publié les modèles."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.scaling.models import MODELS, find_model
from course_lib.scaling.parameters import (
    PART_LABELS,
    active_parameters,
    count_by_formula,
    parameter_breakdown,
)
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
    count_parameters,
)
from course_lib.transformer.meta import build_on_meta

small = st.integers(1, 13)


@st.composite
def configs(draw):
    heads, groups, half, vocab, context, d_ff = (draw(small) for _ in range(6))
    layers = draw(st.integers(1, 3))
    common = {"n_heads": heads * groups, "d_ff": d_ff}
    d_model = 2 * half * heads * groups
    decoder = common | {"d_model": d_model, "n_layers": layers, "context_length": context}
    llama = decoder | {"vocab_size": vocab, "n_kv_heads": heads, "tie_weights": draw(st.booleans())}
    llama |= {"d_model": draw(small), "head_dim": 2 * half, "attention_bias": draw(st.booleans())}
    llama["qk_norm"] = draw(st.booleans())
    experts = draw(st.integers(1, 5))
    both = {
        "n_encoder_layers": layers,
        "n_decoder_layers": draw(st.integers(1, 3)),
        "d_model": d_model,
    }
    return draw(
        st.sampled_from(
            [
                GPT2Config(vocab_size=vocab, **decoder),
                BertConfig(vocab_size=vocab, n_segments=draw(small), **decoder),
                BertConfig(vocab, pad_id=draw(small), positions_after_pad=True, **decoder),
                LlamaConfig(**llama),
                MixtralConfig(**llama, n_experts=experts, n_active=draw(st.integers(1, experts))),
                OriginalTransformerConfig(
                    vocab,
                    draw(small),
                    tie_weights=draw(st.booleans()),
                    norm_first=draw(st.booleans()),
                    **common,
                    **both,
                ),
                SwitchConfig(vocab, head_dim=draw(small), n_experts=experts, **common, **both),
            ]
        )
    )


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(configs())
def test_formula_equals_building(config):
    assert count_by_formula(config) == count_parameters(build_on_meta(config))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name != "Switch-C"])
def test_formula_equals_building_on_real_models(name):
    model = MODELS[name]
    built = build_on_meta(model.config)
    assert count_by_formula(model.config) == count_parameters(built)
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


@pytest.mark.slow
def test_formula_equals_building_on_switch_c():
    """Ses étages sont tous pareils, leurs experts aussi : trois modèles en disent le compte."""
    config = MODELS["Switch-C"].config
    n_layers = config.n_encoder_layers
    assert config.n_decoder_layers == n_layers
    shallow, few = {"n_encoder_layers": 1, "n_decoder_layers": 1}, {"n_experts": 2}
    changes = ({**shallow, **few}, few, shallow)
    corner, deep, wide = (
        count_parameters(build_on_meta(replace(config, **change))) for change in changes
    )
    assert count_by_formula(config) == deep + n_layers * (wide - corner)


@pytest.mark.parametrize("model", [m for m in MODELS.values() if m.exact], ids=lambda m: m.name)
def test_published_counts_are_exact(model):
    assert model.parameters_as_published == model.published_parameters


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("GPT-3 175B", 0.01),
        ("Switch-C", 0.01),
        ("Transformer (base)", 0.03),
        ("Transformer (big)", 0.01),
    ],
)
def test_rounded_counts_are_near(name, tolerance):
    model = MODELS[name]
    assert model.parameters_as_published == pytest.approx(model.published_parameters, rel=tolerance)


@pytest.mark.parametrize("name", ["GPT-2", "SmolLM2-135M", "BERT-base", "Mixtral-8x7B"])
def test_each_part_is_found_in_the_built_model(name):
    config = MODELS[name].config
    found = dict.fromkeys(PART_LABELS, 0)
    for path, parameter in build_on_meta(config).named_parameters():
        found[_part_of(path)] += parameter.numel()
    assert parameter_breakdown(config) == found


def _part_of(path: str) -> str:
    if path.startswith("head"):
        return "head"
    if "norm" in path:
        return "norms"
    for word, part in [
        ("router", "router"),
        ("experts", "experts"),
        ("feed_forward", "feed_forward"),
        ("attention", "attention"),
        ("positions", "positions"),
    ]:
        if word in path:
            return part
    return "embeddings"


def test_active_parameters_of_mixtral():
    # Jiang et al. 2024 : « 13B active parameters » ; un modèle dense les emploie tous.
    assert active_parameters(MODELS["Mixtral-8x7B"].config) == pytest.approx(12.9e9, rel=0.01)
    dense = MODELS["GPT-2"].config
    assert active_parameters(dense) == count_by_formula(dense)


def test_meta_keeps_the_real_device_untouched():
    build_on_meta(MODELS["petit LLM"].config)
    linear = torch.nn.Linear(3, 5)
    assert linear.weight.device.type == "cpu" and linear.weight.std() > 0


def test_unknown_things_are_refused():
    with pytest.raises(TypeError, match="dict n’est pas une architecture connue"):
        count_by_formula({"d_model": 3})
    with pytest.raises(TypeError, match="donnez une configuration"):
        build_on_meta(None)
    with pytest.raises(ValueError, match=r"Choisissez parmi .*GPT-2 XL"):
        find_model("GPT-5")
