"""Plusieurs processus font le même entraînement qu’un seul, de trois façons."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parallel_workers import (
    EVEN,
    PRIME,
    agree_and_gather,
    compare_with_torch,
    fail_on_main,
    one_gradient,
    prepare,
    run_split_block,
    silent_rows,
    stream,
    sum_by_buckets,
    sum_missing_gradients,
    together,
    train_model,
    try_to,
    uneven_rows,
)
from torch import nn

from course_lib.parallel import build_team, open_workers
from course_lib.parallel.gradients import buckets
from course_lib.parallel.processes import choose_backend
from course_lib.recurrent import RecurrentLM
from course_lib.training import IGNORE, OneProcess, language_model_loss
from course_lib.transformer import LlamaConfig, llama
from course_lib.transformer.attention import Attention
from course_lib.transformer.blocks import Block, FeedForward
from course_lib.transformer.experts import MixtureOfExperts

SHAPES = {"ddp": PRIME, "fsdp": PRIME, "tensor": EVEN}
DATA = {"texte": stream, "lignes inégales": uneven_rows, "sans cible": silent_rows}


def assert_close(ours, theirs, tolerance=1e-5):
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=tolerance, msg=name)


def test_the_silent_rows_leave_shares_and_whole_batches_without_target():
    counts = [
        [int((row != IGNORE).sum()) for row in silent_rows().batch(step)[1]] for step in range(12)
    ]
    assert [0, 0] in counts and [0, 5] in counts and [5, 0] in counts


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("strategy", SHAPES)
def test_two_processes_train_the_same_model_as_one(strategy, data):
    shape, source = SHAPES[strategy], DATA[data]()
    expected, expected_records = train_model(None, shape, source, None, True)
    results = together(train_model, strategy, shape, source, None, True)
    for weights, records in results:
        assert_close(weights, expected, 1e-10)
        assert [r[:2] for r in records] == [r[:2] for r in expected_records]  # pas et jetons
        for ours, theirs in zip(records, expected_records, strict=True):
            assert ours[2] == pytest.approx(theirs[2], abs=1e-10)
            assert ours[3] == pytest.approx(theirs[3], abs=1e-10)
    (first, _), (second, _) = results
    assert all(torch.equal(first[name], second[name]) for name in first)


def accumulate_in_a_team(strategy, shape, data):
    return train_model(strategy, shape, data, None, True, accumulate=2)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", SHAPES)
def test_a_team_accumulates_as_one_process_reads_whole_batches(strategy):
    shape, data = SHAPES[strategy], uneven_rows()
    expected, records = train_model(None, shape, data, None, True)
    for weights, team_records in together(accumulate_in_a_team, strategy, shape, data):
        assert_close(weights, expected, 1e-10)
        assert [r[:2] for r in team_records] == [r[:2] for r in records]


def train_with(strategy, shape, **changes):
    return train_model(strategy, shape, stream(), **changes)


@pytest.mark.parametrize("strategy", ["fsdp", "tensor"])
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optimizer": "muon"}, r"optimizer = muon.*prenez adamw.*ddp"),
        ({"compile": True}, r"compile = True.*ddp"),
    ],
)
def test_a_team_that_splits_weights_refuses_what_was_not_tried(strategy, changes, message):
    with pytest.raises(ValueError, match=message):
        together(partial(train_with, **changes), strategy, SHAPES[strategy])


def test_muon_in_a_team_learns_as_alone():
    changes = {"optimizer": "muon", "muon_rate_ratio": 2.0, "n_steps": 4}
    expected, _ = train_model(None, PRIME, stream(), **changes)
    results = together(partial(train_with, **changes), "ddp", PRIME)
    for weights, _ in results:  # Muon arrondit sur seize bits : un écart d’arrondi y grossit
        assert_close(weights, expected, 2e-2)
    (first, _), (second, _) = results
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"n_gpus": 0, "device": "cuda"}, r"device = cuda"),
        ({"n_gpus": 1, "device": "cuda"}, r"1 GPU, et au moins 2 processus.*--nproc-per-node"),
        ({"n_gpus": 0, "device": "mps"}, r"device = mps ne va qu’avec un seul processus"),
    ],
)
def test_a_team_talks_where_it_computes(monkeypatch, environment, message):
    n_gpus, device = environment["n_gpus"], environment["device"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpus > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: device == "mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "1", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), open_workers(device=device):
        pass


def test_two_gpus_talk_by_nccl_and_two_processors_by_gloo(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_backend("cuda") == "cpu:gloo,cuda:nccl" and chosen == [1]
    assert choose_backend("cpu") == "gloo" and chosen == [1]


@pytest.mark.parametrize("strategy", SHAPES)
@pytest.mark.parametrize("max_norm", [1e9, 0.3])
def test_the_gradient_is_that_of_the_whole_batch(strategy, max_norm):
    shape = SHAPES[strategy]
    model, data = llama(shape, seed=3), uneven_rows()
    language_model_loss(model, data.batch(0))[0].backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    assert norm > 0.3  # le second cas écrête vraiment
    expected = {name: p.grad for name, p in model.named_parameters()}
    results = together(one_gradient, strategy, shape, data, max_norm)
    for gradients, _ in results:
        assert_close(gradients, expected, 1e-6)
    n_parameters = sum(p.numel() for p in model.parameters())
    kept = [n for _, n in results]
    if strategy == "ddp":
        assert kept == [n_parameters] * 2
    elif strategy == "fsdp":
        assert sum(kept) == n_parameters  # chaque poids est chez un seul
        assert max(kept) < 0.6 * n_parameters
    else:
        blocks = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
        assert kept == [n_parameters - blocks // 2] * 2


# --- Données partagées


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(1, 200))
def test_buckets_hold_every_parameter_once_from_the_last(sizes, max_bytes):
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    parts = list(buckets(parameters, max_bytes))
    flat = [parameter for part in parts for parameter in part]
    assert [id(p) for p in flat] == [id(p) for p in reversed(parameters)]
    for part, following in zip(parts, [*parts[1:], []], strict=True):
        size = sum(p.nbytes for p in part)
        assert size <= max_bytes or len(part) == 1
        assert not following or size + following[0].nbytes > max_bytes  # aucun seau de trop


def test_a_bucket_holds_something():
    with pytest.raises(ValueError, match="max_bytes = 0 est impossible"):
        list(buckets([nn.Parameter(torch.zeros(2))], 0))


@pytest.mark.parametrize("max_bytes, n_messages", [(1, 3), (28, 2), (1000, 1)])
def test_gradients_are_summed_bucket_by_bucket(max_bytes, n_messages):
    for gradients, calls in together(sum_by_buckets, [5, 3, 2], max_bytes):
        assert calls == n_messages
        for i, gradient in enumerate(gradients):  # (a + a + 1000) / 2
            assert gradient.tolist() == [j + 10 * i + 500 for j in range((5, 3, 2)[i])]


@pytest.mark.parametrize("max_bytes", [1, 1500, 2**22])
def test_our_sum_equals_the_one_of_torch(max_bytes):
    for pairs in together(compare_with_torch, max_bytes):
        assert len(pairs) == 20
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_an_absent_gradient_counts_for_zero_and_an_unused_weight_has_none():
    for first, second, third in together(sum_missing_gradients):
        # parts de 2 et 3 jetons, gradients 1 et 2 : (2 × 1 + 3 × 2) / 5
        torch.testing.assert_close(first, torch.full((3,), 8 / 5))
        torch.testing.assert_close(second, torch.full((2,), 2 * 5 / 5))
        assert third is None


# --- Matrices partagées


def make_block():
    torch.manual_seed(1)
    attention = Attention(7, 4, 2, head_dim=3)
    return Block(attention, FeedForward(7, 10), lambda: nn.LayerNorm(7))


def test_a_split_block_computes_the_same_thing_and_shares_its_heads():
    block = make_block()
    x = torch.randn(2, 5, 7, requires_grad=True)
    y = block(x, is_causal=True)
    (y * y).sum().backward()
    expected = {name: p.grad for name, p in block.named_parameters()}
    for output, slope, gradients, shapes, calls in together(run_split_block, make_block(), x.data):
        torch.testing.assert_close(output, y.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(slope, x.grad, rtol=1e-5, atol=1e-5)
        assert_close(gradients, expected, 2e-5)
        assert calls == {"all_reduce": 4}  # deux à l’aller, deux au retour
        assert shapes["self_attention.query.weight"] == (2 * 3, 7)  # 2 têtes sur 4
        assert shapes["self_attention.key.weight"] == (1 * 3, 7)
        assert shapes["self_attention.output.weight"] == (7, 2 * 3)
        assert shapes["feed_forward.up.weight"] == (5, 7)
        assert shapes["feed_forward.down.weight"] == (7, 5)


# --- L’équipe


def test_a_team_agrees_and_gathers():
    expected = (True, False, ["r0", "r1"])
    assert together(agree_and_gather) == [(*expected, 4), (*expected, 4 + 1_000_003)]


def test_the_failure_of_the_main_process_is_everyone_s():
    assert together(try_to, fail_on_main) == ["illisible"] * 2


def test_what_cannot_be_shared_is_refused():
    experts = llama(PRIME)
    experts.blocks[0].feed_forward = MixtureOfExperts(13, lambda: FeedForward(13, 4), 2, 1)
    dropout = llama(LlamaConfig(17, 11, d_model=4, n_layers=1, n_heads=2, dropout=0.1))
    d_ff = llama(LlamaConfig(17, 11, d_model=4, n_layers=1, n_heads=2, d_ff=7))
    normed = llama(LlamaConfig(17, 11, d_model=4, n_layers=1, n_heads=2, qk_norm=True))
    recurrent = RecurrentLM(17, 5, 5)
    for strategy, model, message in (
        ("fsdp", experts, "Ce modèle a des experts"),
        ("tensor", llama(PRIME), "n_heads = 5 ne se partage pas entre 2 processus"),
        ("tensor", d_ff, "d_ff = 7 ne se partage pas entre 2"),
        ("tensor", dropout, r"un dropout de 0.1"),
        ("tensor", normed, "des normes communes (qk_norm)"),
        ("tensor", recurrent, "RecurrentLM n’a aucun bloc"),
        ("pipeline", None, "strategy = 'pipeline' est inconnue : choisissez parmi ddp"),
    ):
        errors = together(try_to, prepare, strategy, model)
        assert all(message in error for error in errors), errors
    errors = together(try_to, train_model, "ddp", PRIME, stream(batch_size=1))
    assert all("Un lot de 1 ligne(s) ne se partage pas entre 2" in error for error in errors)


def test_a_process_alone_needs_no_team(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with open_workers() as workers:
        assert type(workers) is OneProcess
    with (
        pytest.raises(ValueError, match="« fsdp » demande plusieurs processus"),
        open_workers("fsdp"),
    ):
        pass
    with pytest.raises(ValueError, match="est inconnue"):
        build_team("zéro")
