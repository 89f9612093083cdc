"""D’où part l’élève, et ce qu’il lit : blocs copiés, textes de l’enseignant, ses propres textes."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from course_lib.distillation import (
    OnPolicyBatches,
    SoftTargetLoss,
    reverse_kl,
    student_from_teacher,
    teacher_answers,
    teacher_texts,
)
from course_lib.finetuning import AnswerExamples, weight_fingerprint
from course_lib.generation import SamplingConfig, continuation_log_probs, generate
from course_lib.training import (
    SequenceBatches,
    TrainingConfig,
    load_weights,
    save_weights,
    train,
)
from course_lib.training.data import IGNORE
from course_lib.transformer import GPT2Config, LlamaConfig, count_parameters, gpt2, llama
from course_lib.transformer.positions import Llama3Scaling
from course_lib.transformer.recognition import config_of

VOCAB, CONTEXT, BOS, EOS = 53, 31, 1, 2
BASE = LlamaConfig(VOCAB, CONTEXT, 30, 5, 5, d_ff=37)
CONFIGS = {
    "llama": BASE,
    "smollm": replace(BASE, n_kv_heads=1, head_dim=14, rope_theta=777.0, norm_eps=1e-6),
    "qwen": replace(BASE, attention_bias=True, tie_weights=False),
    "qwen3": replace(BASE, qk_norm=True, n_kv_heads=1),
    "llama3": replace(BASE, rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 16)),
    "gpt2": GPT2Config(VOCAB, CONTEXT, 21, 5, 7, d_ff=37, dropout=0.0),
}
IDS = torch.randint(0, VOCAB, (3, 11), generator=torch.Generator().manual_seed(0))
QUIET = {"progress": False}


def build(config, seed=0):
    return (gpt2 if isinstance(config, GPT2Config) else llama)(config, seed).eval()


def tiny(seed, gain=1.0, n_layers=1):
    """Un modèle de onze mots ; `gain` lui donne des préférences."""
    config = LlamaConfig(11, 13, 14, n_layers, 1, d_ff=17, tie_weights=False)
    model = llama(config, seed).eval()
    with torch.no_grad():
        model.head.weight.mul_(gain)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_a_student_is_made_of_blocks_of_the_teacher(name, tmp_path):
    teacher = build(CONFIGS[name])
    teacher.requires_grad_(False)
    before = weight_fingerprint(teacher)
    student = student_from_teacher(teacher, [0, 3])
    assert config_of(student) == replace(config_of(teacher), n_layers=2)
    assert all(p.requires_grad for p in student.parameters())
    x = teacher.embedding(IDS, torch.arange(11))
    rope = None if teacher.rope is None else teacher.rope(torch.arange(11))
    for i in (0, 3):
        x = teacher.blocks[i](x, is_causal=True, rope=rope)
    assert_close(student(IDS), teacher.head(teacher.norm(x)))
    save_weights(student, tmp_path / "élève.safetensors")
    again = build(config_of(student), seed=9)
    assert count_parameters(again) == count_parameters(student) < count_parameters(teacher)
    load_weights(again, tmp_path / "élève.safetensors")
    assert torch.equal(again(IDS), student(IDS))
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    assert weight_fingerprint(teacher) == before


def test_all_the_blocks_are_a_copy():
    teacher = build(BASE)
    assert torch.equal(student_from_teacher(teacher, range(5))(IDS), teacher(IDS))


@pytest.mark.parametrize(
    "layers, message",
    [
        ([], r"layers = \[\] : il faut au moins un bloc"),
        ([1, 1], r"layers = \[1, 1\] : .* chacun une fois, par ordre croissant"),
        ([3, 1], "par ordre croissant"),
        ([0, 5], "l’enseignant a 5 blocs, numérotés de 0 à 4"),
        ([-1, 2], "numérotés de 0 à 4"),
    ],
)
def test_impossible_blocks(layers, message):
    with pytest.raises(ValueError, match=message):
        student_from_teacher(build(BASE), layers)
    with pytest.raises(TypeError, match="Un Linear n’est pas un décodeur"):
        student_from_teacher(torch.nn.Linear(3, 5), [0])


def test_texts_are_finished_and_without_marks():
    teacher = tiny(0, 2)
    texts = teacher_texts(teacher, 41, 12, seed=3, batch_size=16, **QUIET)
    assert 5 < len(texts) < 41  # les textes trop longs sont écartés
    assert all(EOS not in row and len(row) < 12 for row in texts)
    assert len({tuple(row) for row in texts}) > 3
    assert texts == teacher_texts(teacher, 41, 12, seed=3, batch_size=16, **QUIET)
    assert texts != teacher_texts(teacher, 41, 12, seed=4, batch_size=16, **QUIET)
    inputs, targets = SequenceBatches(texts, 3).batch(0)
    assert (inputs[:, 0] == BOS).all() and ((targets == EOS).sum(1) == 1).all()


def test_texts_follow_the_law_of_the_teacher():
    teacher = tiny(0, 2)
    texts = teacher_texts(teacher, 2000, 12, batch_size=500, **QUIET)
    row = max(set(map(tuple, texts)), key=lambda row: texts.count(list(row)))
    share = texts.count(list(row)) / 2000
    expected = continuation_log_probs(teacher, [BOS], [*row, EOS]).sum().exp().item()
    assert abs(share - expected) < 5 * (expected / 2000) ** 0.5 and expected > 0.02


def test_answers_keep_their_prompts():
    teacher, prompts = tiny(5, 2), [[BOS, 5], [BOS], [BOS, 7, 3]] * 5
    answers = teacher_answers(teacher, prompts, 11, temperature=0, batch_size=4, **QUIET)
    expected = generate(
        teacher, prompts, 11, sampling=SamplingConfig(temperature=0), stop_ids=(EOS,)
    )
    finished = [
        (prompt, text.ids)
        for prompt, text in zip(prompts, expected, strict=True)
        if text.stopped_by == "stop_id"
    ]
    assert answers == finished and len(answers) == 10
    AnswerExamples(answers, 2).batch(0)


def test_impossible_texts():
    with pytest.raises(ValueError, match="n = 0 : il faut un entier d’au moins 1"):
        teacher_texts(tiny(0), 0, 5)
    with pytest.raises(ValueError, match="batch_size = 0 : il faut au moins un texte"):
        teacher_texts(tiny(0), 5, 5, batch_size=0)
    with pytest.raises(ValueError, match=r"temperature = -1"):
        teacher_texts(tiny(0), 5, 5, temperature=-1)


def test_a_batch_depends_on_the_seed_the_step_and_the_student():
    student = tiny(0, 2)
    prompts = [[BOS, 3, 5], [BOS, 7]]
    options = {"max_new_tokens": 7, "batch_size": 5, "prompts": prompts}
    data = OnPolicyBatches(student, seed=3, **options)
    inputs, targets = data.batch(4)
    again = OnPolicyBatches(student, seed=3, **options).batch(4)
    assert torch.equal(inputs, again[0]) and torch.equal(targets, again[1])
    for other in (data.batch(5), OnPolicyBatches(student, seed=4, **options).batch(4)):
        assert other[0].shape != inputs.shape or not torch.equal(other[0], inputs)
    for row, goal in zip(inputs.tolist(), targets.tolist(), strict=True):
        (prompt,) = [p for p in prompts if row[: len(p)] == p]
        written = [token for token in goal if token != IGNORE]
        first = len(prompt) - 1
        assert goal[:first] == [IGNORE] * first
        assert goal[first : first + len(written)] == written
        assert row[len(prompt) : first + len(written)] == written[:-1]
        assert written[-1] == EOS or len(written) == 7
    with torch.no_grad():
        student.head.weight.copy_(tiny(1, 2).head.weight)
    changed = data.batch(4)
    assert changed[0].shape != inputs.shape or not torch.equal(changed[0], inputs)


@pytest.mark.slow
def test_the_fraction_mixes_two_origins():
    source = SequenceBatches([[3, 5, 7], [8, 9], [4]], 2)
    for fraction, low, high in ((0.0, 0, 0), (0.3, 4, 22), (1.0, 41, 41)):
        data = OnPolicyBatches(tiny(0), source, max_new_tokens=3, fraction=fraction, batch_size=5)
        n_written = 0
        for step in range(41):
            inputs, _ = data.batch(step)
            n_written += len(inputs) == 5
            if len(inputs) != 5:
                assert torch.equal(inputs, source.batch(step)[0])
        assert low <= n_written <= high
    assert len(list(data.in_order())) == 2
    assert data.fingerprint()["source"] == source.fingerprint()


def own_gap(student, teacher):
    """KL(élève ‖ enseignant) sur deux cents textes que l’élève écrit maintenant."""
    data = OnPolicyBatches(student, max_new_tokens=7, batch_size=200, seed=77)
    inputs, targets = data.batch(0)
    with torch.no_grad():
        mask = targets != IGNORE
        return reverse_kl(student(inputs), teacher(inputs), mask=mask).item()


@pytest.mark.slow
def test_a_student_learns_from_its_own_texts():
    teacher, config = tiny(5, 2, 2), TrainingConfig(20, 1e-2, n_threads=1)
    weights = []
    for _ in range(2):
        student = tiny(0)
        before = own_gap(student, teacher)
        loss = SoftTargetLoss(teacher, divergence="reverse")
        data = OnPolicyBatches(student, max_new_tokens=5, batch_size=8)
        train(student, data, config, loss=loss, progress=False)
        assert own_gap(student, teacher) < before / 2
        weights.append(weight_fingerprint(student))
    assert weights[0] == weights[1]


def test_impossible_on_policy_batches():
    student = tiny(0)
    with pytest.raises(ValueError, match=r"fraction = 1\.5 : .* dans \[0, 1\]"):
        OnPolicyBatches(student, max_new_tokens=3, fraction=1.5)
    with pytest.raises(ValueError, match=r"fraction = 0\.5 : d’où viennent les autres lots"):
        OnPolicyBatches(student, max_new_tokens=3, fraction=0.5)
    with pytest.raises(ValueError, match="batch_size = 0"):
        OnPolicyBatches(student, max_new_tokens=3, batch_size=0)
    with pytest.raises(ValueError, match="n’ont pas de source"):
        OnPolicyBatches(student, max_new_tokens=3).in_order()
