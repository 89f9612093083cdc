"""Opérations et octets, comparés au compteur de PyTorch et à ce que le retour garde vraiment."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib.scaling import flops, memory
from course_lib.scaling.models import MODELS
from course_lib.scaling.parameters import count_by_formula
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
)
from course_lib.transformer.meta import BUILDERS

ONE = {"context_length": 31, "n_layers": 3, "dropout": 0.0}
TWO = {"context_length": 31, "n_encoder_layers": 2, "n_decoder_layers": 3, "dropout": 0.0}
LLAMA = {"vocab_size": 97, "d_model": 44, "n_heads": 4, "n_kv_heads": 2, "head_dim": 6, "d_ff": 53}
CONFIGS = [
    GPT2Config(vocab_size=97, d_model=33, n_heads=3, d_ff=71, **ONE),
    LlamaConfig(**LLAMA, **ONE),
    MixtralConfig(**LLAMA, n_experts=5, n_active=3, **ONE),
    BertConfig(vocab_size=97, d_model=33, n_heads=3, d_ff=71, **ONE),
    OriginalTransformerConfig(83, 97, d_model=33, n_heads=3, d_ff=71, **TWO),
    SwitchConfig(97, d_model=33, n_heads=3, head_dim=7, d_ff=71, n_experts=4, **TWO),
]
every_architecture = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)
B, S, T = 2, 23, 29


def scores_of(config, model):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(1, 83, (B, T), generator=generator)
    if hasattr(config, "n_encoder_layers"):
        return model(torch.randint(1, 83, (B, S), generator=generator), target)
    return model(target)


@every_architecture
def test_flops_equal_the_counter_of_torch(config):
    model = BUILDERS[type(config)](config)
    # Le noyau « math » écrit l’attention en produits de matrices, que le compteur voit tous.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
        scores = scores_of(config, model)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as backward:
        scores.sum().backward()
    sizes = {"batch_size": B, "source_length": S}
    assert forward.get_total_flops() == flops.forward_flops(config, T, **sizes)
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == flops.training_flops(config, T, **sizes)


def test_skipping_the_masked_scores_halves_the_attention():
    config = CONFIGS[0]
    full, useful = (flops.forward_flops(config, T, skip_masked=skip) for skip in (False, True))
    masked_pairs = T * (T - 1) / 2
    assert full - useful == pytest.approx(4 * masked_pairs * 33 * 3)


@pytest.mark.parametrize("name", ["GPT-2 XL", "GPT-3 175B", "Llama-3-8B", "Mixtral-8x7B"])
def test_six_n_is_a_good_rule_when_the_text_is_short(name):
    config = MODELS[name].config
    rule = flops.approximate_flops_per_token(config)
    exact = flops.training_flops_per_token(config, 128)
    assert exact == pytest.approx(rule["training"], rel=0.08)
    assert rule["training"] == 3 * rule["forward"]


@pytest.mark.parametrize(
    ("name", "published"),
    [("GPT-3 175B", 3.14e23), ("Llama-3.1-405B", 3.8e25)],
)
def test_published_training_flops(name, published):
    model = MODELS[name]
    context = min(8192, model.config.context_length)  # Llama 3.1 apprend d’abord sur 8 192 jetons
    ours = model.training_tokens * flops.training_flops_per_token(model.config, context)
    assert ours == pytest.approx(published, rel=0.12)


def test_impossible_lengths_are_refused():
    with pytest.raises(ValueError, match="context_length = 32 : il faut entre 1 et 31"):
        flops.forward_flops(CONFIGS[0], 32)
    with pytest.raises(ValueError, match="batch_size = 0"):
        flops.forward_flops(CONFIGS[0], 3, batch_size=0)


@every_architecture
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cache_bytes_equal_the_real_cache(config, dtype):
    model = BUILDERS[type(config)](config).to(getattr(torch, dtype))
    if isinstance(config, BertConfig):
        assert memory.kv_cache_bytes(config, T) == 0
        return
    sizes = (B, T, S) if hasattr(config, "n_encoder_layers") else (B, T)
    held = 0
    for block in model.new_cache(*sizes).blocks:
        for cache in filter(None, (block.self_attention, block.cross_attention)):
            held += cache.keys.nbytes + cache.values.nbytes
    expected = memory.kv_cache_bytes(config, T, batch_size=B, source_length=S, dtype=dtype)
    assert held == expected


@every_architecture
def test_activations_are_near_what_autograd_keeps(config):
    model = BUILDERS[type(config)](config)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.is_floating_point():
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # le garder évite un doublon
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        length = config.context_length
        ids = torch.randint(1, 83, (B, length), generator=torch.Generator().manual_seed(0))
        both = (ids, ids) if hasattr(config, "n_encoder_layers") else (ids,)
        loss = F.cross_entropy(model(*both).flatten(0, 1), ids.flatten())
    assert loss.isfinite()
    held = sum(size for size, _ in kept.values())
    expected = 4 * memory.activation_numbers(config, length, B)
    assert held == pytest.approx(expected, rel=0.15)


def test_training_memory_is_sixteen_bytes_a_parameter():
    config = MODELS["GPT-2"].config
    for dtype in ("float32", "bfloat16"):
        needs = memory.training_memory(config, dtype=dtype)
        model = needs.total - needs.activations
        assert model == 16 * count_by_formula(config)
    half = memory.inference_memory(config, dtype="int4", context_length=1)
    assert half.weights == count_by_formula(config) / 2


def test_optimizer_bytes_equal_those_of_adamw():
    config = CONFIGS[1]
    model = BUILDERS[type(config)](config)
    optimizer = torch.optim.AdamW(model.parameters())
    scores_of(config, model).sum().backward()
    optimizer.step()
    states = [v for state in optimizer.state.values() for k, v in state.items() if k != "step"]
    assert sum(s.nbytes for s in states) == memory.training_memory(config).optimizer


def test_impossible_memories_are_refused():
    with pytest.raises(ValueError, match="Format inconnu : 'float8'"):
        memory.inference_memory(CONFIGS[0], dtype="float8")
    with pytest.raises(ValueError, match="on n’entraîne pas en entiers"):
        memory.training_memory(CONFIGS[0], dtype="int8")
    with pytest.raises(ValueError, match="au moins un jeton et un texte"):
        memory.kv_cache_bytes(CONFIGS[0], 0)
