"""Choisir ce qui s’entraîne ; n’apprendre que la réponse ; mêler la tâche et la base."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.finetuning import (
    AnswerExamples,
    ReplayMix,
    count_trainable,
    train_biases,
    train_only,
    weight_fingerprint,
)
from course_lib.training.data import IGNORE
from course_lib.training.losses import language_model_loss
from course_lib.transformer import GPT2Config, LlamaConfig, count_parameters, gpt2, llama

EXAMPLES = [([5, 6, 7], [8, 2]), ([9], [10, 11, 2]), ([3, 4], [2]), ([1] * 5, [2, 2])]


def small_llama():
    return llama(LlamaConfig(53, 31, 30, 2, 5, d_ff=37))


def test_patterns_choose_what_trains():
    model = small_llama()
    chosen = train_only(model, ["blocks.1.*", "norm.weight"])
    assert all(name.startswith("blocks.1.") or name == "norm.weight" for name in chosen)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == set(chosen) and len(chosen) == 10
    assert count_trainable(model) < count_parameters(model) / 2
    with pytest.raises(ValueError, match=r"« blocks\.7\.\* » ne désigne aucun paramètre"):
        train_only(model, ["blocks.7.*"])


def test_biases_and_norms():
    model = gpt2(GPT2Config(53, 31, 21, 2, 7, dropout=0.0))
    chosen = train_biases(model)
    assert "blocks.0.self_attention.query.bias" in chosen and "norm.weight" in chosen
    assert not any(".query.weight" in name for name in chosen)
    assert train_biases(small_llama()) == [
        *(
            f"blocks.{i}.{n}_norm.weight"
            for i in (0, 1)
            for n in ("self_attention", "feed_forward")
        ),
        "norm.weight",
    ]
    with pytest.raises(ValueError, match="ni biais ni norme"):
        train_biases(torch.nn.Linear(3, 3, bias=False))


def test_fingerprint_sees_one_bit():
    model = small_llama()
    before = weight_fingerprint(model)
    with torch.no_grad():
        model.blocks[1].feed_forward.up.weight[3, 4] += 1e-7
    assert weight_fingerprint(model) != before


def test_only_the_answer_is_learned():
    data = AnswerExamples(EXAMPLES[:2], 2)
    ((inputs, targets),) = list(data.in_order())
    assert inputs.tolist() == [[5, 6, 7, 8], [9, 10, 11, 0]]
    assert targets.tolist() == [[IGNORE, IGNORE, 8, 2], [10, 11, 2, IGNORE]]
    model = small_llama()
    loss, n_tokens = language_model_loss(model, (inputs, targets))
    log_probs = [
        F.log_softmax(model(torch.tensor([p + a[:-1]]))[0], -1)[len(p) - 1 :][range(len(a)), a]
        for p, a in EXAMPLES[:2]
    ]
    assert n_tokens == 5
    torch.testing.assert_close(loss, -torch.cat(log_probs).mean())


def test_the_head_runs_only_where_there_is_an_answer():
    model, plain = small_llama(), small_llama()
    batch = AnswerExamples(EXAMPLES, 4).batch(0)
    rows = []
    model.head.register_forward_hook(lambda _, inputs, output: rows.append(output.shape))
    loss, n_tokens = language_model_loss(model, batch)
    assert rows == [(8, 53)] and n_tokens == 8  # et non 4 lignes de 6 positions
    logits, targets = plain(batch[0]), batch[1]
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
    loss.backward()
    expected.backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-6)


def test_each_pass_sees_each_example_once():
    data = AnswerExamples(EXAMPLES, 2, seed=3)
    seen = [tuple(row[row > 0].tolist()) for step in (0, 1) for row in data.batch(step)[0]]
    assert sorted(seen) == sorted(tuple((p + a)[:-1]) for p, a in EXAMPLES)
    again = data.batch(1)
    data.batch(5)
    assert torch.equal(data.batch(1)[0], again[0])
    other = AnswerExamples(EXAMPLES, 2, seed=4)
    assert data.fingerprint() != other.fingerprint()


def test_replay_puts_one_batch_in_four():
    task, base = AnswerExamples(EXAMPLES, 1), AnswerExamples([([20], [21])], 1)
    mix = ReplayMix(task, base, every=4)
    from_base = [bool((mix.batch(step)[0] == 20).any()) for step in range(8)]
    assert from_base == [False, False, False, True] * 2
    assert torch.equal(mix.batch(4)[0], task.batch(3)[0])
    assert mix.fingerprint()["every"] == 4 and len(list(mix.in_order())) == 4


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AnswerExamples([], 2), "Aucun exemple"),
        (lambda: AnswerExamples([([1], [2]), ([1], [])], 2), "n° 1 a 1 jetons de consigne et 0"),
        (lambda: AnswerExamples(EXAMPLES, 0), "batch_size = 0"),
        (lambda: ReplayMix(None, None, 1), "every = 1 : il faut au moins 2"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
