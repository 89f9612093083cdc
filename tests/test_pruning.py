"""Élaguer : les sorties du modèle masqué, moins de poids, et l’écriture qui marche encore."""

import copy
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from course_lib.finetuning import LoRAConfig, attach_lora, weight_fingerprint
from course_lib.generation import CachedReader, RereadingReader, SamplingConfig, generate
from course_lib.pruning import (
    head_importance,
    least_important_heads,
    neuron_importance,
    prune_heads,
    prune_neurons,
)
from course_lib.training import SequenceBatches, evaluate_loss, load_weights, save_weights
from course_lib.training.losses import language_model_loss
from course_lib.transformer import (
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    count_parameters,
    gpt2,
    llama,
    mixtral,
)
from course_lib.transformer.recognition import config_of

VOCAB, CONTEXT, D, DH, F = 53, 31, 30, 6, 37
BASE = LlamaConfig(VOCAB, CONTEXT, D, 3, 5, d_ff=F)
CONFIGS = {
    "llama": BASE,
    "groupes": replace(BASE, n_heads=6, n_kv_heads=3, head_dim=DH),
    "qwen": replace(BASE, n_heads=6, n_kv_heads=3, head_dim=DH, attention_bias=True),
    "qwen3": replace(BASE, n_heads=6, n_kv_heads=3, head_dim=DH, qk_norm=True),
    "gpt2": GPT2Config(VOCAB, CONTEXT, D, 3, 5, d_ff=F, dropout=0.0),
}
HEADS = {
    "llama": {0: [1], 2: [0, 3, 4]},
    "groupes": {0: [2, 3], 2: [5, 0, 4, 1]},
    "qwen": {0: [2, 3], 2: [5, 0, 4, 1]},
    "qwen3": {0: [2, 3], 2: [5, 0, 4, 1]},
    "gpt2": {0: [1], 2: [0, 3, 4]},
}
ROWS = [[3, 5, 7], [11, 13, 17, 19, 23], [29, 31], [2, 3, 5, 7, 11, 13, 17], [37], [41, 43, 47]]
IDS = torch.randint(0, VOCAB, (3, 11), generator=torch.Generator().manual_seed(0))
DATA = SequenceBatches(ROWS, 4)


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


def build(name="llama"):
    """Tous les poids au hasard, biais compris."""
    config = CONFIGS[name]
    model = (gpt2 if name == "gpt2" else llama)(config).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=draw)
    return model


@contextmanager
def scaled_heads(model, scales):
    """Multiplie la sortie des têtes : `scales`, étage → (H,) ou (B, H). Sans le code de pruning."""

    def multiply(scale):
        def hook(_, args):
            parts = args[0].unflatten(-1, (scale.shape[-1], -1))  # (B, T, H, Dh)
            by_sentence = scale if scale.ndim == 2 else scale[None]
            return ((parts * by_sentence[:, None, :, None]).flatten(-2),)

        return hook

    with ExitStack() as hooks:
        for layer, scale in scales.items():
            output = model.blocks[layer].self_attention.output
            hooks.enter_context(output.register_forward_pre_hook(multiply(scale)))
        yield


def masks(model, heads):
    scales = {}
    for layer, chosen in heads.items():
        scales[layer] = torch.ones(model.blocks[layer].self_attention.n_heads)
        scales[layer][chosen] = 0.0
    return scales


def test_a_pruned_model_is_the_masked_one(name):
    model = build(name)
    whole = model(IDS)
    with scaled_heads(model, masks(model, HEADS[name])):
        masked = model(IDS)
    assert (masked - whole).abs().max() > 0.1
    assert torch.equal(model(IDS), whole)
    prune_heads(model, HEADS[name])
    assert_close(model(IDS), masked, atol=1e-6 * masked.abs().max().item(), rtol=1e-6)


def test_masking_is_by_head():
    model = build()
    with scaled_heads(model, {1: torch.ones(5)}):
        assert torch.equal(model(IDS), model(IDS))
    one = torch.ones(3, 5)
    one[1, 2] = 0.0  # seule la deuxième phrase perd sa tête
    whole = model(IDS)
    with scaled_heads(model, {1: one}):
        masked = model(IDS)
    assert_close(masked[[0, 2]], whole[[0, 2]])
    assert (masked[1] - whole[1]).abs().max() > 0.01


def test_parameters_really_fall(name):
    model = build(name)
    before, bias = count_parameters(model), name == "gpt2"
    prune_heads(model, HEADS[name])
    removed = sum(len(heads) for heads in HEADS[name].values())
    n_keys = removed // 2 if name in ("groupes", "qwen", "qwen3") else removed
    rows = (removed + 2 * n_keys) * DH  # requêtes, clés, valeurs
    columns = removed * DH
    assert count_parameters(model) == before - (rows + columns) * D - rows * (
        bias or name == "qwen"
    )
    attention = model.blocks[2].self_attention
    assert attention.output.in_features == attention.query.out_features
    assert attention.query.out_features == attention.n_heads * DH


def test_writing_with_the_cache_still_works(name):
    model = build(name)
    prune_heads(model, HEADS[name])
    prune_neurons(model, 0.4)
    greedy = SamplingConfig(temperature=0)
    prompts = [[3, 5, 7], [11], [13, 17]]
    cached, reread = (
        generate(model, prompts, 12, sampling=greedy, reader=reader)
        for reader in (CachedReader, RereadingReader)
    )
    assert [text.ids for text in cached] == [text.ids for text in reread]
    cache = model.new_cache(3)
    steps = [model(IDS[:, i : i + 1], cache=cache) for i in range(11)]
    assert_close(torch.cat(steps, 1), model(IDS), atol=1e-4, rtol=1e-4)
    assert (
        cache.blocks[2].self_attention.keys.shape[1] < cache.blocks[1].self_attention.keys.shape[1]
    )


def test_evenly_pruned_models_are_ordinary_models(name, tmp_path):
    model = build(name)
    heads = least_important_heads(model, head_importance(model, [DATA.batch(0)]), 2)
    prune_heads(model, heads)
    prune_neurons(model, 0.5)
    if name == "gpt2":
        with pytest.raises(ValueError, match=r"N’en élaguez que les neurones"):
            config_of(model)
        return
    config = config_of(model)
    assert config.n_heads == CONFIGS[name].n_heads - 2
    assert config.d_ff == F - 18 and config.head_dim == DH
    save_weights(model, tmp_path / "élagué.safetensors")
    again = llama(config, 5)
    load_weights(again, tmp_path / "élagué.safetensors")
    assert torch.equal(again(IDS), model(IDS))


def test_unevenly_pruned_models_have_no_configuration(name):
    model = build(name)
    heads = least_important_heads(model, head_importance(model, [DATA.batch(0)]), 2)
    prune_heads(model, {1: heads[1]})
    with pytest.raises(ValueError, match=r"L’étage 1 a .* et le premier .* : une configuration"):
        config_of(model)


def test_importance_is_the_slope_of_the_loss(name):
    """Contre des différences finies, phrase par phrase, en double précision."""
    model = build(name).double()
    batch = DATA.batch(0)
    importance = head_importance(model, [batch])
    n_tokens = int((batch[1] >= 0).sum())

    def sentence_loss(row, layer, head, value):
        scale = torch.ones(CONFIGS[name].n_heads, dtype=torch.float64)
        scale[head] = value
        with scaled_heads(model, {layer: scale}), torch.no_grad():
            mean, n = language_model_loss(model, tuple(t[row : row + 1] for t in batch))
        return mean * n

    for layer, head in ((0, 0), (1, 3), (2, 4)):
        slopes = [
            (sentence_loss(row, layer, head, 1.001) - sentence_loss(row, layer, head, 0.999))
            / 0.002
            for row in range(4)
        ]
        expected = torch.stack(slopes).abs().sum() / n_tokens
        assert_close(importance[layer, head].double(), expected, atol=1e-6, rtol=1e-4)


def test_importance_of_several_batches_and_a_frozen_model():
    model = build().train()
    whole = head_importance(model, [DATA.batch(0), DATA.batch(1)])
    model.requires_grad_(False)
    with torch.no_grad():
        again = head_importance(model, DATA.in_order())
    one = head_importance(model, SequenceBatches(ROWS, len(ROWS)).in_order())
    assert_close(again, one, atol=1e-5, rtol=1e-4)
    assert whole.shape == (3, 5) and model.training
    assert all(p.grad is None for p in model.parameters())
    assert neuron_importance(model, DATA.in_order()).shape == (3, F)
    with pytest.raises(ValueError, match="Aucun lot : donnez au moins un lot"):
        head_importance(model, [])


def test_silent_heads_and_neurons_are_found_and_cost_nothing():
    model = build()
    with torch.no_grad():
        model.blocks[1].self_attention.output.weight[:, 2 * DH : 3 * DH] = 0.0
        for block in model.blocks:
            block.feed_forward.down.weight[:, ::2] = 0.0
    heads = head_importance(model, DATA.in_order())
    assert heads[1, 2] == 0 and (heads == 0).sum() == 1
    assert least_important_heads(model, heads, 1)[1] == [2]
    before, loss = count_parameters(model), evaluate_loss(model, DATA)
    prune_heads(model, {1: [2]})
    importance = neuron_importance(model, DATA.in_order())
    assert (importance[:, ::2] == 0).all() and (importance[:, 1::2] > 0).all()
    for scores in (importance, None):
        pruned = copy.deepcopy(model)
        prune_neurons(pruned, 19 / F, scores)
        assert_close(evaluate_loss(pruned, DATA), loss, atol=1e-5, rtol=1e-5)
        assert pruned.blocks[0].feed_forward.down.in_features == F - 19
        assert count_parameters(pruned) == before - 4 * DH * D - 3 * 19 * 3 * D


def test_groups_are_chosen_whole():
    model = build("groupes")
    importance = torch.tensor([[9.0, 0, 1, 1, 5, 5], [1, 1, 9, 9, 9, 9], [4, 4, 3, 4, 2, 6]])
    assert least_important_heads(model, importance, 2) == {0: [2, 3], 1: [0, 1], 2: [2, 3]}
    assert least_important_heads(model, importance, 4)[0] == [0, 1, 2, 3]
    for n_heads in (1, 6):
        with pytest.raises(ValueError, match=f"n_heads = {n_heads} : .* un multiple de 2"):
            least_important_heads(model, importance, n_heads)


def test_pruned_weights_still_learn():
    model = build("groupes")
    prune_heads(model, {0: [0, 1]})
    prune_neurons(model, 0.3)
    language_model_loss(model, DATA.batch(0))[0].backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())


@pytest.mark.parametrize(
    "heads, message",
    [
        ({0: [2]}, r"Étage 0 : les têtes \[2\] ne forment pas des groupes entiers.* sert 2 têtes"),
        ({1: [1, 2]}, "ne forment pas des groupes entiers"),
        ({1: [0, 6]}, r"Étage 1 : les têtes \[0, 6\] ne sont pas toutes entre 0 et 5"),
        ({3: [0, 1]}, "L’étage 3 n’existe pas : ils vont de 0 à 2"),
        ({2: range(6)}, "Étage 2 : il n’y resterait aucune tête"),
    ],
)
def test_impossible_heads_change_nothing(heads, message):
    model = build("groupes")
    before = weight_fingerprint(model)
    with pytest.raises(ValueError, match=message):
        prune_heads(model, {0: [0, 1]} | heads)
    assert weight_fingerprint(model) == before and model.blocks[0].self_attention.n_heads == 6


def test_impossible_neurons():
    model = build()
    for fraction in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"fraction = {fraction} : .* dans \[0, 1\["):
            prune_neurons(model, fraction)
    with pytest.raises(ValueError, match=r"longueurs \[36, 36, 36\] : .* \[37, 37, 37\]"):
        prune_neurons(model, 0.5, torch.ones(3, 36))
    experts = mixtral(MixtralConfig(VOCAB, CONTEXT, D, 1, 5, n_experts=3, d_ff=F))
    with pytest.raises(ValueError, match="Un MixtureOfExperts n’a pas de neurones à retirer"):
        prune_neurons(experts, 0.5)
    attach_lora(model, LoRAConfig(2, targets=("query", "down")))
    with pytest.raises(ValueError, match=r"« query » est un LoRALinear .*detach_adapters"):
        prune_heads(model, {0: [0]})
    with pytest.raises(ValueError, match="« down » est un LoRALinear"):
        prune_neurons(model, 0.5)
