"""Les configurations : réglages déduits, copies par `replace`, types vérifiés."""

import copy
import json
import math
import pickle
from dataclasses import asdict, replace

import jaxtyping
import numpy as np
import pytest

from course_lib.training import TrainingConfig
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
)
from course_lib.transformer.positions import Llama3Scaling

LLAMA = LlamaConfig(101, d_model=512, n_heads=8)
# Une configuration, ce que l’on y change, ce qui s’en déduit avant puis après.
DERIVED = {
    "d_ff de Llama": (LLAMA, {"d_model": 128}, {"d_ff": (1376, 352), "head_dim": (64, 16)}),
    "têtes": (LLAMA, {"n_heads": 16}, {"n_kv_heads": (8, 16), "head_dim": (64, 32)}),
    "Mixtral": (
        MixtralConfig(101, d_model=512, n_heads=8),
        {"d_model": 128, "n_heads": 16},
        {"d_ff": (1376, 352), "head_dim": (64, 8), "n_kv_heads": (8, 16)},
    ),
    "GPT-2": (GPT2Config(), {"d_model": 96}, {"d_ff": (3072, 384)}),
    "chauffe": (TrainingConfig(1000), {"n_steps": 200}, {"warmup_steps": (50, 10)}),
}
CONFIGS = [
    LLAMA,
    MixtralConfig(101),
    GPT2Config(),
    BertConfig(),
    OriginalTransformerConfig(101, 103),
    SwitchConfig(101),
    TrainingConfig(70),
]


@pytest.fixture(autouse=True)
def without_annotations():
    """Le lecteur n’a pas les vérifications de types de pytest : il rencontre nos messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("config, changes, expected", DERIVED.values(), ids=DERIVED)
def test_a_derived_setting_follows_the_others(config, changes, expected):
    changed = replace(config, **changes)
    twice = replace(replace(changed, **{k: getattr(config, k) for k in changes}), **changes)
    for name, (before, after) in expected.items():
        assert getattr(config, name) == before
        assert getattr(changed, name) == getattr(twice, name) == after
        kept = replace(config, **changes, **{name: before})  # donné : il reste tel quel
        assert getattr(kept, name) == getattr(replace(kept, **changes), name) == before


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_a_derived_setting_equals_a_given_one(config):
    assert None not in [v for k, v in asdict(config).items() if k in ("d_ff", "head_dim")]
    explicit = type(config)(**json.loads(json.dumps(asdict(config))))  # celle d’un fichier
    assert explicit == config and hash(explicit) == hash(config)
    assert asdict(explicit) == asdict(config) and repr(explicit) == repr(config)
    for same in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert same == config
    assert replace(config) == config


def test_a_copied_setting_is_a_given_one():
    assert LlamaConfig(101, d_model=128, d_ff=LLAMA.d_ff).d_ff == 1376
    assert replace(LLAMA, d_model=128, d_ff=LLAMA.d_ff).d_ff == 1376
    assert replace(copy.deepcopy(LLAMA), d_model=128).d_ff == 352


@pytest.mark.parametrize("value", [True, 7.0, "7", math.nan, [7]], ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_an_integer_is_an_integer(config, value):
    for name in [name for name, old in asdict(config).items() if type(old) is int]:
        with pytest.raises(ValueError, match=rf"{name} = .* : il faut un entier"):
            replace(config, **{name: value})


@pytest.mark.parametrize("value", [True, "0.1", math.nan, -math.inf], ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_a_rate_is_a_finite_number(config, value):
    for name in [name for name, old in asdict(config).items() if type(old) is float]:
        with pytest.raises(ValueError, match=rf"{name} = .* est impossible\s: il faut un nombre"):
            replace(config, **{name: value})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SwitchConfig(101, dropout=5.0), r"dropout = 5\.0 : .*\[0, 1\["),
        (lambda: SwitchConfig(101, norm_eps=0.0), r"norm_eps = 0\.0"),
        (lambda: SwitchConfig(101, n_experts=0), "n_experts = 0 .*strictement positif"),
        (lambda: MixtralConfig(101, n_experts=2, n_active=3), "n_active = 3 pour n_experts = 2"),
        (lambda: LlamaConfig(101, n_heads=0), "n_heads = 0 .*strictement positif"),
        (lambda: LlamaConfig(101, d_ff=-3), "d_ff = -3 .*strictement positif"),
        (lambda: LlamaConfig(101, tie_weights=1), "tie_weights = 1 .* True ou False"),
        (lambda: LlamaConfig(101, rope_theta=0.0), r"rope_theta = 0\.0 .*nombre positif"),
        (lambda: LlamaConfig(101, rope_scaling="yarn"), "rope_scaling = 'yarn' .*Llama3Scaling"),
        (lambda: LlamaConfig(101, rope_scaling={"type": "x"}), "ses réglages \\(factor, low_freq"),
        (lambda: Llama3Scaling(math.nan), "factor = nan est impossible"),
        (lambda: BertConfig(pad_id=-1), "pad_id = -1 .*ou None"),
        (lambda: TrainingConfig(10, betas=0.9), r"betas = \(0\.9,\) est impossible"),
        (lambda: TrainingConfig(10, betas=(0.9, math.nan)), "betas = .*deux nombres"),
        (lambda: TrainingConfig(10, betas=(0.9, "0.99")), "betas = .*deux nombres"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_numbers_of_numpy_and_an_infinite_norm_are_welcome():
    config = LlamaConfig(np.int64(101), dropout=np.float32(0.5))
    assert json.dumps(asdict(config)) and type(config.vocab_size) is int
    assert TrainingConfig(10, max_grad_norm=math.inf).max_grad_norm == math.inf
    assert BertConfig(pad_id=0).pad_id == 0 and BertConfig(pad_id=None).pad_id is None
