"""Divergences : celles de PyTorch, leurs gradients ; la perte de Hinton, et l’enseignant intact."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from course_lib.distillation import SoftTargetLoss, forward_kl, jensen_shannon, reverse_kl
from course_lib.finetuning import weight_fingerprint
from course_lib.training import SequenceBatches, TrainingConfig, language_model_loss, train
from course_lib.training.data import IGNORE
from course_lib.transformer import LlamaConfig, llama

B, T, V = 3, 5, 11
VOCAB, CONTEXT = 53, 31
KINDS = {"forward": forward_kl, "reverse": reverse_kl, "jensen_shannon": jensen_shannon}
ROWS = [[3, 5, 7], [11, 13, 17, 19, 23], [29, 31], [2, 3, 5, 7, 11, 13, 17], [37], [41, 43, 47]]


def draw(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(B, T, V, generator=generator, dtype=dtype)


MASK = torch.rand(B, T, generator=torch.Generator().manual_seed(5)) < 0.6


def reference_kl(p_logits, q_logits):
    """KL(p ‖ q) de chaque position, par PyTorch."""
    log_p, log_q = p_logits.log_softmax(-1), q_logits.log_softmax(-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("mask", [None, MASK], ids=["tout", "masque"])
def test_divergences_are_those_of_pytorch(temperature, mask):
    student, teacher = draw(0), draw(1)
    s, t = student / temperature, teacher / temperature
    kept = slice(None) if mask is None else mask
    middle = {b: (b * t.softmax(-1) + (1 - b) * s.softmax(-1)).log() for b in (0.5, 0.1)}
    expected = {
        "forward": reference_kl(t, s),
        "reverse": reference_kl(s, t),
        **{b: b * reference_kl(t, m) + (1 - b) * reference_kl(s, m) for b, m in middle.items()},
    }
    functions = KINDS | {b: partial(jensen_shannon, beta=b) for b in middle}
    for name, per_position in expected.items():
        value = functions[name](student, teacher, temperature, mask)
        assert_close(value, temperature**2 * per_position[kept].mean(), atol=1e-6, rtol=1e-6)
        assert value > 0.01
        assert_close(functions[name](student, student + 2), torch.zeros_like(value))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_gradient_of_the_forward_divergence_is_the_closed_formula(temperature):
    student, teacher = draw(0).requires_grad_(), draw(1)
    forward_kl(student, teacher, temperature, MASK).backward()
    gap = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    expected = temperature * gap * MASK[..., None] / MASK.sum()
    assert_close(student.grad, expected.detach(), atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    student, teacher = draw(0).requires_grad_(), draw(1)
    assert torch.autograd.gradcheck(lambda z: KINDS[kind](z, teacher, 1.7, MASK), (student,))


def test_jensen_shannon_joins_the_two_others():
    student, teacher = draw(0), draw(1)
    near_forward = jensen_shannon(student, teacher, beta=1e-4) / 1e-4
    near_reverse = jensen_shannon(student, teacher, beta=1 - 1e-4) / 1e-4
    assert_close(near_forward, forward_kl(student, teacher), rtol=0.02, atol=0)
    assert_close(near_reverse, reverse_kl(student, teacher), rtol=0.02, atol=0)


def test_log_probabilities_are_scores():
    student, teacher = draw(0), draw(1)
    for divergence in KINDS.values():
        expected = divergence(student, teacher, 2.0)
        assert_close(divergence(student, teacher.log_softmax(-1), 2.0), expected)


def test_impossible_divergences():
    student, teacher = draw(0), draw(1)
    with pytest.raises(ValueError, match=r"temperature = 0\.0 : il faut un nombre strictement"):
        forward_kl(student, teacher, 0.0)
    with pytest.raises(ValueError, match=r"\(3, 5, 11\) et l’enseignant \(3, 5, 7\)"):
        reverse_kl(student, teacher[..., :7])
    with pytest.raises(ValueError, match=r"un booléen par position, \(3, 5\)"):
        forward_kl(student, teacher, mask=MASK.T)
    with pytest.raises(ValueError, match="Aucune position à comparer"):
        forward_kl(student, teacher, mask=MASK & ~MASK)
    for beta in (0.0, 1.0):
        with pytest.raises(ValueError, match=rf"beta = {beta} .* employez forward_kl"):
            jensen_shannon(student, teacher, beta=beta)


def build(seed, n_layers=1, vocab=VOCAB, dropout=0.0):
    return llama(LlamaConfig(vocab, CONTEXT, 22, n_layers, 1, d_ff=37, dropout=dropout), seed)


def source(seed=0, batch_size=2):
    return SequenceBatches(ROWS, batch_size, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_mixes_the_teacher_and_the_labels(kind, alpha):
    student, teacher = build(0), build(1, 3)
    inputs, targets = source().batch(0)
    assert (targets == IGNORE).any()
    loss, n_tokens = SoftTargetLoss(teacher, alpha, 2.0, kind)(student, (inputs, targets))
    mask = targets != IGNORE
    soft = KINDS[kind](student(inputs), teacher(inputs), 2.0, mask)
    hard, n_expected = language_model_loss(student, (inputs, targets))
    assert_close(loss, alpha * soft + (1 - alpha) * hard)
    assert n_tokens == n_expected == int(mask.sum())


def test_a_function_can_be_the_divergence():
    student, teacher, batch = build(0), build(1), source().batch(1)
    loss = SoftTargetLoss(teacher, divergence=partial(jensen_shannon, beta=0.1))
    mask = batch[1] != IGNORE
    expected = jensen_shannon(student(batch[0]), teacher(batch[0]), mask=mask, beta=0.1)
    assert_close(loss(student, batch)[0], expected)


@pytest.mark.slow
def test_training_approaches_the_teacher_and_leaves_it_intact():
    student, teacher = build(0), build(1, 3, dropout=0.3).train()
    before, start = weight_fingerprint(teacher), weight_fingerprint(student)
    loss = SoftTargetLoss(teacher)
    history = train(student, source(), TrainingConfig(60, 1e-2, log_every=6), loss=loss)
    assert weight_fingerprint(teacher) == before
    assert weight_fingerprint(student) != start
    assert all(p.grad is None for p in teacher.parameters())
    assert history.records[-1].loss < history.records[0].loss / 3


def test_the_dropout_of_the_teacher_is_off():
    student, teacher, batch = build(0), build(1, dropout=0.5).train(), source().batch(0)
    first, second = (SoftTargetLoss(teacher)(student, batch)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"alpha": 1.5}, r"alpha = 1\.5 : .* dans \[0, 1\]"),
        ({"alpha": -0.1}, r"alpha = -0\.1"),
        ({"temperature": -2.0}, r"temperature = -2\.0 : il faut un nombre strictement positif"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"divergence": "kl"}, "divergence = 'kl' est inconnue : choisissez parmi forward, rev"),
    ],
)
def test_impossible_settings(options, message):
    with pytest.raises(ValueError, match=message):
        SoftTargetLoss(build(0), **options)


def test_impossible_pairs():
    student, batch = build(0), source().batch(0)
    with pytest.raises(ValueError, match="un vocabulaire de 53 jetons et l’enseignant de 59"):
        SoftTargetLoss(build(1, vocab=59))(student, batch)
    with pytest.raises(ValueError, match="le même modèle : il n’y a rien à apprendre"):
        SoftTargetLoss(student)(student, batch)
    with pytest.raises(ValueError, match="Ni enseignant, ni log-probabilités dans le lot"):
        SoftTargetLoss()(student, batch)
    loss, _ = SoftTargetLoss(copy.deepcopy(student))(student, batch)
    assert abs(loss.item()) < 1e-6


INF = float("inf")


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_forbidden_tokens_count_for_nothing(kind, temperature):
    """Interdits par les deux, des jetons laissent la divergence du vocabulaire qui reste."""
    student, teacher = draw(0).requires_grad_(), draw(1)
    forbidden = torch.zeros(V, dtype=torch.bool)
    forbidden[[0, 4, 10]] = True
    value = KINDS[kind](
        student.masked_fill(forbidden, -INF), teacher.masked_fill(forbidden, -INF), temperature
    )
    possible = (scores[..., ~forbidden] for scores in (student, teacher))
    assert_close(value, KINDS[kind](*possible, temperature))
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.isfinite().all() and not gradient[..., forbidden].any()


@pytest.mark.parametrize("low", [-INF, -1e30, torch.finfo(torch.float64).min])
def test_a_token_forbidden_by_the_teacher_alone(low):
    student, teacher = draw(0).requires_grad_(), draw(1)
    teacher[..., 3] = low
    value = forward_kl(student, teacher)
    p, log_q = teacher.softmax(-1), student.log_softmax(-1)
    assert_close(value, (torch.xlogy(p, p) - p * log_q).sum(-1).mean())
    (gradient,) = torch.autograd.grad(value, student)
    assert_close(gradient, ((log_q.exp() - p) / (B * T)).detach())
    assert jensen_shannon(student, teacher).isfinite()
    if low == -INF:
        assert reverse_kl(student, teacher) == INF  # l’élève écrit ce que l’enseignant interdit
    (slope,) = torch.autograd.grad(jensen_shannon(student, teacher), student)
    assert slope.isfinite().all()


def test_a_token_forbidden_by_the_student_alone():
    student, teacher = draw(0), draw(1)
    student[..., 3] = -INF
    student.requires_grad_()
    assert forward_kl(student, teacher) == INF  # l’élève ne peut pas dire ce que dit l’enseignant
    for divergence in (reverse_kl, jensen_shannon):
        value = divergence(student, teacher)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_compared_in_single_precision(kind, dtype):
    student, teacher = (draw(seed, torch.float32).to(dtype) for seed in (0, 1))
    value = KINDS[kind](student, teacher, 2.0)
    assert value.dtype == torch.float32
    assert_close(value, KINDS[kind](student.float(), teacher.float(), 2.0), atol=0, rtol=0)
