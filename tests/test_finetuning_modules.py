"""Goulots et amorce apprise : rien ne change au départ, seuls leurs nombres s’entraînent."""

import re

import pytest
import torch
from torch.testing import assert_close

from course_lib.finetuning import (
    AnswerExamples,
    BottleneckLinear,
    LoRAConfig,
    LoRALinear,
    activate_adapter,
    attach_bottleneck,
    attach_lora,
    attach_soft_prompt,
    count_trainable,
    detach_adapters,
    detach_bottlenecks,
    detach_soft_prompt,
    train_biases,
    weight_fingerprint,
)
from course_lib.finetuning.layers import find_targets, linear_layers
from course_lib.generation import SamplingConfig, beam_search, generate
from course_lib.generation.decoding import continuation_log_probs, next_token_distribution
from course_lib.generation.readers import CachedReader, RereadingReader
from course_lib.training import TrainingConfig, train
from course_lib.transformer import LlamaConfig, llama

V = 53
IDS = torch.randint(1, V, (3, 11), generator=torch.Generator().manual_seed(0))


def build():
    return llama(LlamaConfig(V, 31, 30, 2, 5, d_ff=37)).eval()


def test_fresh_bottlenecks_change_nothing_and_leave_nothing():
    model = build()
    before, output = weight_fingerprint(model), model(IDS)
    chosen = attach_bottleneck(model, 3)
    assert chosen == [
        f"blocks.{i}.{n}" for i in (0, 1) for n in ("self_attention.output", "feed_forward.down")
    ]
    assert torch.equal(model(IDS), output)
    assert count_trainable(model) == 4 * (30 * 3 + 3 + 3 * 30 + 30)
    data = AnswerExamples([([1, 2, 3], [4, 5])], 1)
    train(model, data, TrainingConfig(5, 1e-2, n_threads=1), progress=False)
    assert (model(IDS) - output).abs().max() > 1e-3
    assert weight_fingerprint(model) == before
    detach_bottlenecks(model)
    assert torch.equal(model(IDS), output)


def test_a_wrapped_layer_shows_what_it_wraps():
    base = torch.nn.Linear(7, 5)
    for layer in (LoRALinear(base), BottleneckLinear(base, 3), LoRALinear(LoRALinear(base))):
        assert layer.weight is base.weight and layer.bias is base.bias
        assert (layer.in_features, layer.out_features) == (7, 5)
    assert LoRALinear(torch.nn.Linear(7, 5, bias=False)).bias is None


def test_what_a_wrapper_contains_is_not_a_layer_of_the_model():
    model = build()
    paths = list(linear_layers(model))
    assert len(paths) == 15 and paths[0] == "blocks.0.self_attention.query"
    attach_lora(model, LoRAConfig(3))
    attach_bottleneck(model, 3, ("query", "down"))  # un goulot peut suivre une couche adaptée
    assert list(linear_layers(model)) == paths
    assert list(find_targets(model, ["*"])) == paths
    with pytest.raises(ValueError, match=r"« blocks\.0\.feed_forward\.down » est un Bottleneck"):
        attach_lora(model, LoRAConfig(3, targets=("gate", "down")), "second")
    with pytest.raises(ValueError, match=r"« blocks\.0\.self_attention\.query » a déjà un goulot"):
        attach_bottleneck(model, 3, ("query",))
    assert detach_bottlenecks(model) is model
    assert detach_adapters(model) is model
    assert all(isinstance(layer, torch.nn.Linear) for layer in linear_layers(model).values())


def test_soft_prompt_reads_as_tokens_and_trains_alone():
    model = build()
    before, output = weight_fingerprint(model), model(IDS)
    prefix = attach_soft_prompt(model, 5, seed=1)
    assert prefix == [53, 54, 55, 56, 57]
    assert torch.equal(model(IDS), output)  # sans elle, le modèle est la base
    assert weight_fingerprint(model) == before != weight_fingerprint(model, skip="")
    assert count_trainable(model) == 5 * 30
    rows = torch.cat((torch.tensor([prefix] * 3), IDS), dim=1)
    prompted = model(rows)[:, 5:]
    assert prompted.shape == output.shape and (prompted - output).abs().max() > 1e-3
    # Les lignes de départ sont celles de vrais jetons.
    tokens = model.embedding.tokens
    same = [torch.equal(tokens.prompt[0], row) for row in tokens.base.weight]
    twin = same.index(True)
    copy = rows.clone()
    copy[:, 0] = twin
    torch.testing.assert_close(model(copy), model(rows))
    data = AnswerExamples([([*prefix, 2, 3], [4, 5])], 1)
    losses = train(model, data, TrainingConfig(30, 5e-2, log_every=1, n_threads=1), progress=False)
    assert losses.records[-1].loss < 0.95 * losses.records[0].loss
    assert weight_fingerprint(model) == before  # l’amorce n’est pas la base
    assert weight_fingerprint(model, skip="") != before
    assert model.embedding.tokens.prompt.shape == (5, 30)
    assert detach_soft_prompt(model) is model
    assert weight_fingerprint(model) == before and torch.equal(model(IDS), output)


def test_writing_with_a_cache_reads_the_soft_prompt_too():
    model = build()
    prompt = attach_soft_prompt(model, 5, seed=1)
    prompts = [[*prompt, 3, 4, 5, 6], [*prompt, 7], [8, 9]]  # de longueurs inégales
    cached, rereading = CachedReader(model, prompts, 20), RereadingReader(model, prompts)
    assert_close(cached.start(), rereading.start(), atol=1e-5, rtol=1e-5)
    for ids in ([1, 2, 3], [4, 5, 6]):
        assert_close(cached.step(ids), rereading.step(ids), atol=1e-5, rtol=1e-5)


def test_the_soft_prompt_is_read_but_never_written():
    model = build()
    prompt = attach_soft_prompt(model, 5, seed=1)
    start = [*prompt, 3, 4]
    penalized = SamplingConfig(0.0, repetition_penalty=1e9)
    (written,) = generate(model, [start], 60, n_kept=5, sampling=penalized)  # la fenêtre glisse
    first = written.ids[:40]
    assert max(written.ids) < V and len(set(first)) == len(first) and not {3, 4} & set(first)
    assert next_token_distribution(model, start, penalized).shape == (V,)
    assert len(continuation_log_probs(model, prompt, [3, 4])) == 2
    for wrong in (
        lambda: generate(model, [start], 3, stop_ids=[V]),
        lambda: beam_search(model, start, 2, 3, stop_ids=[V]),
        lambda: continuation_log_probs(model, [3], prompt),
    ):
        with pytest.raises(ValueError, match=f"{V}.*de 0 à {V - 1}"):
            wrong()


@pytest.mark.parametrize("n_tokens", [0, 31, 2.0, True, "3"])
def test_an_impossible_number_of_learned_tokens(n_tokens):
    model = build()
    with pytest.raises(ValueError, match=re.escape(f"n_tokens = {n_tokens!r}")):
        attach_soft_prompt(model, n_tokens)
    assert all(parameter.requires_grad for parameter in model.parameters())


ADDITIONS = {
    "LoRA": (lambda m: attach_lora(m, LoRAConfig(3, targets=("query", "head"))), detach_adapters),
    "goulots": (attach_bottleneck, detach_bottlenecks),
    "amorce": (lambda m: attach_soft_prompt(m, 3), detach_soft_prompt),
}


@pytest.mark.parametrize("kind", ADDITIONS)
def test_what_is_added_leaves_the_fingerprint_the_mode_and_the_right_to_train(kind):
    attach, detach = ADDITIONS[kind]
    model = build()
    model.norm.requires_grad_(False)
    before = weight_fingerprint(model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    attach(model)
    assert weight_fingerprint(model) == before
    assert all(".adapters." in name for name, p in model.named_parameters() if p.requires_grad)
    assert not any(module.training for module in model.modules())
    train_biases(model)
    detach(model)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trained
    assert weight_fingerprint(model) == before == weight_fingerprint(model, skip="")


def test_two_additions_at_once():
    model = build()
    attach_soft_prompt(model, 3)
    attach_bottleneck(model, 3)
    detach_soft_prompt(model)
    assert all(".adapters." in name for name, p in model.named_parameters() if p.requires_grad)
    detach_bottlenecks(model)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ADDITIONS)
def test_what_is_added_has_the_type_of_the_base(kind, dtype):
    model = build().to(dtype)
    ADDITIONS[kind][0](model)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model(IDS).dtype == dtype


def test_the_fingerprint_with_everything_tells_which_adapter_serves():
    model = build()
    attach_lora(model, LoRAConfig(3), "un")
    seen = {weight_fingerprint(model, skip="")}
    attach_lora(model, LoRAConfig(3), "deux")
    for name in ("deux", "un", None):
        activate_adapter(model, name)
        seen.add(weight_fingerprint(model, skip=""))
    assert len(seen) == 4


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda m: attach_bottleneck(m, 0), "width = 0 : il faut un entier"),
        (lambda m: attach_bottleneck(m, 3, ("o_proj",)), "La cible « o_proj » ne désigne aucune"),
        (lambda m: attach_soft_prompt(m, 0), "n_tokens = 0"),
        (lambda m: attach_soft_prompt(m, 31), "moins que le contexte"),
        (lambda m: detach_soft_prompt(m), "n’a pas d’amorce apprise"),
        (lambda m: [attach_soft_prompt(m, 2), attach_soft_prompt(m, 2)], "est déjà posée"),
    ],
)
def test_wrong_requests(act, message):
    with pytest.raises(ValueError, match=message):
        act(build())
