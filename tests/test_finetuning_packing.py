"""Des exemples rangés ensemble s’ignorent : même perte, mêmes gradients qu’un par ligne."""

import random

import pytest
import torch
from torch.testing import assert_close

from course_lib.finetuning import AnswerExamples, pack_examples, packed_loss
from course_lib.finetuning.packing import best_fit
from course_lib.training import (
    IGNORE,
    TrainingConfig,
    evaluate_loss,
    language_model_loss,
    train,
)
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama
from course_lib.transformer.documents import separate_documents

V, CONTEXT = 53, 31


def build(kind):
    if kind == "gpt2":
        return gpt2(GPT2Config(V, CONTEXT, 21, 2, 7, d_ff=37, dropout=0.0))
    return llama(LlamaConfig(V, CONTEXT, 30, 2, 5, d_ff=37))


@pytest.fixture(params=["llama", "gpt2"])
def model(request):
    return build(request.param)


def draw_examples(n, seed=0):
    draw = random.Random(seed)
    return [
        tuple([draw.randrange(1, V) for _ in range(draw.randint(1, 7))] for _ in range(2))
        for _ in range(n)
    ]


def test_positions_restart_and_nobody_reads_the_others():
    positions, mask = separate_documents(torch.tensor([[1, 1, 1, 2, 2, 0], [4, 1, 1, 1, 0, 0]]))
    assert positions.tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 0, 1]]
    assert mask.shape == (2, 1, 6, 6)
    assert mask[0, 0].int().tolist() == [
        *[[1, 1, 1, 0, 0, 0]] * 3,
        *[[0, 0, 0, 1, 1, 0]] * 2,
        [0, 0, 0, 0, 0, 1],
    ]


def test_a_packed_row_by_hand():
    data = pack_examples([([5, 6], [7, 8, 2]), ([9], [10, 2]), ([3, 4], [2])], 7, 2)
    ((inputs, targets, documents),) = list(data.in_order())
    assert inputs.tolist() == [[5, 6, 7, 8, 9, 10], [3, 4, 0, 0, 0, 0]]
    assert targets.tolist() == [[IGNORE, 7, 8, 2, 10, 2], [IGNORE, 2, *[IGNORE] * 4]]
    assert documents.tolist() == [[1, 1, 1, 1, 2, 2], [1, 1, 0, 0, 0, 0]]


def test_loss_and_gradients_are_those_of_separate_rows(model):
    examples = draw_examples(23)
    packed, apart = pack_examples(examples, CONTEXT, 2), AnswerExamples(examples, 5)
    assert len(packed) < 9
    sums = []
    for data, loss in ((packed, packed_loss), (apart, language_model_loss)):
        model.zero_grad()
        total, n_tokens = 0.0, 0
        for batch in data.in_order():
            mean, n = loss(model, batch)
            total, n_tokens = total + mean * n, n_tokens + n
        total.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        sums.append((total.detach(), n_tokens, gradients))
    assert sums[0][1] == sums[1][1] == sum(len(answer) for _, answer in examples)
    assert_close(sums[0][0], sums[1][0], atol=1e-5, rtol=1e-5)
    for name, gradient in sums[0][2].items():
        assert gradient.abs().max() > 0
        assert_close(gradient, sums[1][2][name], atol=1e-5, rtol=1e-5, msg=name)


def test_an_example_never_changes_its_neighbour(model):
    (inputs, _, documents), *_ = pack_examples(draw_examples(23), CONTEXT, 3).in_order()
    before = model(inputs, document_ids=documents)
    changed = inputs.clone()
    changed[documents == 1] = 1
    after = model(changed, document_ids=documents)
    assert torch.equal(after[documents > 1], before[documents > 1])
    assert not torch.equal(after[documents == 1], before[documents == 1])
    # Sans les numéros, les exemples se lisent : c’est la contamination que l’on évite.
    assert (model(inputs)[documents > 1] - before[documents > 1]).abs().max() > 1e-2


def test_each_example_is_in_exactly_one_row():
    examples = draw_examples(101)
    data = pack_examples(examples, CONTEXT, 4, seed=5)
    found = []
    for inputs, targets, documents in data.in_order():
        assert inputs.shape[1] <= CONTEXT
        for row in range(len(inputs)):
            for number in range(1, int(documents[row].max()) + 1):
                mine = documents[row] == number
                answer = targets[row][mine]
                answer = answer[answer != IGNORE].tolist()
                found.append((inputs[row][mine].tolist(), answer))
            assert (targets[row][documents[row] == 0] == IGNORE).all()
    assert sorted(found) == sorted(((p + a)[:-1], a) for p, a in examples)
    assert torch.equal(data.batch(3)[0], pack_examples(examples, CONTEXT, 4, seed=5).batch(3)[0])


def test_boxes_are_full():
    draw = random.Random(0)
    lengths = [draw.randint(1, 31) for _ in range(997)]
    boxes = best_fit(lengths, 31)
    assert sorted(i for box in boxes for i in box) == list(range(997))
    assert all(sum(lengths[i] for i in box) <= 31 for box in boxes)
    assert len(boxes) <= 11 / 9 * -(-sum(lengths) // 31) + 1
    assert best_fit([5, 3, 4, 2], 7) == [[0, 3], [2, 1]]


def test_the_loop_trains_on_packed_examples():
    model, data = build("llama"), pack_examples(draw_examples(11), CONTEXT, 2)
    before = evaluate_loss(model, data, packed_loss)
    config = TrainingConfig(20, 1e-2, n_threads=1)
    train(model, data, config, loss=packed_loss, progress=False)
    assert evaluate_loss(model, data, packed_loss) < 0.8 * before


@pytest.mark.parametrize(
    "examples, message",
    [
        ([([1], [2]), ([1] * 5, [2] * 4)], "n° 1 occupe 8 positions et la ligne en a 7"),
        ([([1], [2]), ([1], [])], "n° 1 a 1 jetons de consigne et 0"),
        ([], "Aucun exemple"),
    ],
)
def test_wrong_examples(examples, message):
    with pytest.raises(ValueError, match=message):
        pack_examples(examples, 7, 2)


def test_documents_exclude_padding_masks_and_caches(model):
    ids = torch.ones(1, 3, dtype=torch.long)
    for extra in ({"padding_mask": ids > 0}, {"cache": model.new_cache(1)}):
        with pytest.raises(ValueError, match="document_ids ne va ni avec padding_mask, ni avec"):
            model(ids, document_ids=ids, **extra)
