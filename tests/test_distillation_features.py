"""Vecteurs cachés et attentions : mis en regard, projetés, comparés, et appris."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from course_lib.distillation import (
    AttentionLoss,
    FeatureLoss,
    FeatureStudent,
    HiddenStateLoss,
    SoftTargetLoss,
    attention_transfer,
    even_layer_map,
    recorded_features,
    reverse_kl,
)
from course_lib.finetuning import weight_fingerprint
from course_lib.interpretation import attention_maps
from course_lib.training import SequenceBatches, TrainingConfig, language_model_loss, train
from course_lib.training.data import IGNORE
from course_lib.transformer import LlamaConfig, llama

VOCAB, CONTEXT = 53, 31
ROWS = [[3, 5, 7], [11, 13, 17, 19, 23], [29, 31], [2, 3, 5, 7, 11, 13, 17], [37], [41, 43, 47]]
DATA = SequenceBatches(ROWS, 2)


def build(seed, n_layers, d_model=22, n_heads=1):
    return llama(LlamaConfig(VOCAB, CONTEXT, d_model, n_layers, n_heads, d_ff=37), seed)


def test_even_layer_map():
    assert even_layer_map(2, 6) == {0: 2, 1: 5}
    assert even_layer_map(3, 7) == {0: 1, 1: 3, 2: 6}
    assert even_layer_map(5, 5) == {i: i for i in range(5)}
    for sizes in ((0, 3), (5, 3)):
        with pytest.raises(ValueError, match=f"n_student = {sizes[0]} et n_teacher = 3"):
            even_layer_map(*sizes)


def test_recorded_features_are_those_of_the_model():
    model, (inputs, _) = build(0, 3, 30, 5), DATA.batch(0)
    expected = model(inputs)
    with recorded_features(model, attention=True) as features:
        assert_close(model(inputs), expected, atol=1e-5, rtol=1e-5)
    assert len(features.hidden) == 3
    assert_close(model.head(model.norm(features.hidden[-1])), expected, atol=1e-5, rtol=1e-5)
    expected_maps = attention_maps(model, inputs)["decoder"]
    for ours, theirs in zip(features.attention, expected_maps, strict=True):
        assert_close(ours.detach(), theirs)
        assert ours.requires_grad
    assert torch.equal(model(inputs), expected)  # les crochets sont retirés


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("widths", [(7, 7), (7, 11)])
def test_hidden_state_loss_by_hand(cosine, widths):
    draw = torch.Generator().manual_seed(0)
    student = [torch.randn(3, 5, widths[0], generator=draw) for _ in range(2)]
    teacher = [torch.randn(3, 5, widths[1], generator=draw) for _ in range(3)]
    mask = torch.rand(3, 5, generator=draw) < 0.6
    loss = HiddenStateLoss({0: 1, 1: 2}, *widths, cosine=cosine)
    gaps = []
    for i, j in ((0, 1), (1, 2)):
        h = student[i] if widths[0] == widths[1] else student[i] @ loss.projections[i].weight.T
        if cosine:
            products = (F.normalize(h, dim=-1) * F.normalize(teacher[j], dim=-1)).sum(-1)
            gaps.append(1 - products[mask].mean())
        else:
            gaps.append((h - teacher[j]).square().mean(-1)[mask].mean())
    assert_close(loss(student, teacher, mask), (gaps[0] + gaps[1]) / 2)
    assert sum(p.numel() for p in loss.parameters()) == (0 if widths[0] == widths[1] else 154)


@pytest.mark.parametrize("heads", [(5, 5), (3, 5)])
def test_attention_transfer_by_hand(heads):
    draw = torch.Generator().manual_seed(0)
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    student, teacher = (
        torch.randn(2, h, 7, 7, generator=draw).masked_fill(~causal, -torch.inf).softmax(-1)
        for h in heads
    )
    student.requires_grad_()
    mask = torch.rand(2, 7, generator=draw) < 0.6
    s, t = student, teacher
    if heads[0] != heads[1]:
        s, t = (maps.mean(1, keepdim=True) for maps in (student, teacher))
    square = (s - t).square().mean(-1).mean(1)
    assert_close(attention_transfer(student, teacher, mask=mask), square[mask].mean())
    kl = torch.where(causal, t * (t / s.clamp(min=1e-30)).clamp(min=1e-30).log(), 0.0).sum(-1)
    value = attention_transfer(student, teacher, "kl", mask)
    assert_close(value, kl.mean(1)[mask].mean())
    value.backward()
    assert student.grad.isfinite().all() and student.grad.abs().max() > 0
    assert attention_transfer(teacher, teacher, "kl") == 0


def test_impossible_features():
    hidden = [torch.zeros(2, 3, 5)]
    with pytest.raises(ValueError, match="layer_map est vide"):
        HiddenStateLoss({}, 5, 5)
    with pytest.raises(ValueError, match=r"le bloc 0 de l’élève .* du bloc 2 .* 1 et 1 blocs"):
        HiddenStateLoss({0: 2}, 5, 5)(hidden, hidden)
    maps = torch.zeros(2, 3, 5, 5)
    with pytest.raises(ValueError, match="kind = 'cosinus' est inconnu"):
        attention_transfer(maps, maps, "cosinus")
    with pytest.raises(ValueError, match=r"\(2, 3, 5, 5\) et celles .* \(2, 3, 4, 4\)"):
        attention_transfer(maps, maps[..., :4, :4])
    with pytest.raises(ValueError, match=r"weight = -1\.0 : il faut un nombre positif"):
        FeatureLoss(build(0, 1), weight=-1.0)
    with pytest.raises(ValueError, match=r"weight = nan : il faut un nombre positif"):
        AttentionLoss(build(0, 1), {0: 0}, weight=float("nan"))
    with pytest.raises(ValueError, match=r"le bloc 1 de l’élève .* du bloc 0 .* 1 et 1 blocs"):
        AttentionLoss(build(0, 1), {1: 0})(build(1, 1), DATA.batch(0))


def test_the_loss_adds_the_weighted_parts():
    student, teacher, batch = build(0, 2), build(1, 4, 30, 5), DATA.batch(0)
    hidden_loss = HiddenStateLoss(even_layer_map(2, 4), 22, 30)
    model, mask = FeatureStudent(student, hidden_loss), batch[1] != IGNORE
    with recorded_features(student, True) as ours, recorded_features(teacher, True) as theirs:
        student(batch[0]), teacher(batch[0])
    hidden = hidden_loss(ours.hidden, theirs.hidden, mask)
    attention = (
        attention_transfer(ours.attention[0], theirs.attention[1], "kl", mask)
        + attention_transfer(ours.attention[1], theirs.attention[3], "kl", mask)
    ) / 2
    for base in (language_model_loss, SoftTargetLoss(teacher, 0.3)):
        watched = AttentionLoss(teacher, {0: 1, 1: 3}, base, 0.2, "kl")
        loss, n_tokens = FeatureLoss(teacher, watched, 0.7)(model, batch)
        expected, n_expected = base(student, batch)
        assert_close(loss, expected + 0.7 * hidden + 0.2 * attention, atol=1e-5, rtol=1e-5)
        assert n_tokens == n_expected


def test_the_teacher_is_asked_once(monkeypatch):
    student, teacher = build(0, 2), build(1, 4)
    model = FeatureStudent(student, HiddenStateLoss({1: 3}, 22, 22))
    calls, original = [], teacher.hidden
    monkeypatch.setattr(teacher, "hidden", lambda ids: calls.append(ids) or original(ids))
    FeatureLoss(teacher)(model, DATA.batch(0))
    assert len(calls) == 1
    soft = SoftTargetLoss(teacher, divergence=reverse_kl)
    FeatureLoss(teacher, soft)(model, DATA.batch(0))
    assert len(calls) == 2
    FeatureLoss(teacher, AttentionLoss(teacher, {0: 2}, soft))(model, DATA.batch(0))
    assert len(calls) == 3


@pytest.mark.slow
def test_training_brings_hidden_states_closer():
    teacher = build(1, 4, 30, 5)
    model = FeatureStudent(build(0, 2), HiddenStateLoss(even_layer_map(2, 4), 22, 30))
    before, start = weight_fingerprint(teacher), model.hidden_loss.projections[0].weight.clone()
    loss = FeatureLoss(teacher)

    def gap():
        with recorded_features(model.student) as ours, recorded_features(teacher) as theirs:
            inputs, targets = DATA.batch(0)
            model.student(inputs), teacher(inputs)
        return model.hidden_loss(ours.hidden, theirs.hidden, targets != IGNORE).item()

    first = gap()
    train(model, DATA, TrainingConfig(30, 1e-2, n_threads=1), loss=loss, progress=False)
    assert gap() < first / 2
    assert weight_fingerprint(teacher) == before
    assert (model.hidden_loss.projections[0].weight - start).abs().max() > 1e-3


@pytest.mark.slow
def test_training_brings_attentions_closer():
    student, teacher, layers = build(0, 2, n_heads=1), build(1, 4, 30, 5), {0: 1, 1: 3}
    inputs, targets = DATA.batch(0)

    def gap():
        with recorded_features(student, True) as ours, recorded_features(teacher, True) as theirs:
            student(inputs), teacher(inputs)
        pairs = [(ours.attention[i], theirs.attention[j]) for i, j in layers.items()]
        return sum(attention_transfer(*pair, "kl", targets != IGNORE).item() for pair in pairs)

    first = gap()
    loss = AttentionLoss(teacher, layers, SoftTargetLoss(teacher), weight=10.0)
    train(student, DATA, TrainingConfig(60, 1e-2, n_threads=1), loss=loss, progress=False)
    assert gap() < first / 2


COMPOSITIONS = {
    "attentions sur attentions": lambda t, u: AttentionLoss(
        t, {0: 1}, AttentionLoss(u, {1: 3}, weight=0.3), 0.7, "mse"
    ),
    "attentions sur attentions du même": lambda t, u: AttentionLoss(
        t, {0: 1}, AttentionLoss(t, {1: 3}, SoftTargetLoss(t, 0.4), 0.3), 0.7
    ),
    "attentions sur vecteurs": lambda t, u: AttentionLoss(
        t, {0: 1}, FeatureLoss(t, SoftTargetLoss(u), 0.3), 0.7
    ),
    "vecteurs sur vecteurs": lambda t, u: FeatureLoss(
        t, FeatureLoss(u, AttentionLoss(u, {0: 0}, weight=0.5), 0.3), 0.7
    ),
}


@pytest.mark.parametrize("compose", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_any_composition_is_a_sum(compose):
    """Chaque étage ajoute son écart, mesuré seul, à ce qu’il enveloppe."""
    first, second, batch = build(1, 4, 30, 5), build(2, 4, 30, 5), DATA.batch(0)
    model = FeatureStudent(build(0, 2), HiddenStateLoss(even_layer_map(2, 4), 22, 30))
    loss = layer = compose(first, second)
    expected = 0.0
    while hasattr(layer, "base"):
        alone = copy.copy(layer)
        alone.base = language_model_loss
        expected = expected + alone(model, batch)[0] - language_model_loss(model, batch)[0]
        layer = layer.base
    expected = expected + layer(model, batch)[0]
    value, n_tokens = loss(model, batch)
    assert_close(value, expected, atol=1e-5, rtol=1e-5)
    assert n_tokens == int((batch[1] != IGNORE).sum())
    value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.student.parameters())
    assert model.student.blocks[0].self_attention(torch.zeros(1, 2, 22)).shape == (1, 2, 22)


def test_a_teacher_of_another_vocabulary_is_refused():
    message = r"un vocabulaire de \d+ jetons et l’enseignant de 600"
    teacher = llama(LlamaConfig(600, 31, 22, 4, 1, d_ff=37), 1)
    model = FeatureStudent(build(0, 2), HiddenStateLoss({0: 0}, 22, 22))
    losses = FeatureLoss(teacher), AttentionLoss(teacher, {0: 0}), SoftTargetLoss(teacher, 0.5)
    for loss in losses:
        with pytest.raises(ValueError, match=message):
            loss(model, DATA.batch(0))
    batch = (*DATA.batch(0), torch.zeros(*DATA.batch(0)[0].shape, 600))
    with pytest.raises(ValueError, match=message):
        SoftTargetLoss()(model, batch)
    with pytest.raises(ValueError, match="le même modèle"):
        FeatureLoss(model.student)(model, DATA.batch(0))
    with pytest.raises(TypeError, match="FeatureLoss entraîne un FeatureStudent, et reçoit un Dec"):
        FeatureLoss(build(1, 4))(build(0, 2), DATA.batch(0))


def test_hidden_states_of_other_widths_are_refused():
    loss = HiddenStateLoss({0: 0}, 22, 22)
    with pytest.raises(ValueError, match=r"\(2, 3, 22\) et ceux de l’enseignant \(2, 3, 30\)"):
        loss([torch.zeros(2, 3, 22)], [torch.zeros(2, 3, 30)])


def test_without_target_every_loss_is_null_and_its_gradient_too():
    teacher = build(1, 4, 30, 5)
    inputs, targets = DATA.batch(0)
    batch = (inputs, torch.full_like(targets, IGNORE))
    for compose in COMPOSITIONS.values():
        model = FeatureStudent(build(0, 2), HiddenStateLoss(even_layer_map(2, 4), 22, 30))
        value, n_tokens = compose(teacher, build(2, 4, 30, 5))(model, batch)
        assert value.item() == 0.0 and n_tokens == 0
        value.backward()
        assert all(p.grad is not None and not p.grad.any() for p in model.student.parameters())
