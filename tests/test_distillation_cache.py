"""Le cache de l’enseignant : les mêmes poids qu’avec lui, jamais un autre, jamais la moitié."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from course_lib.distillation import (
    DistillationBatches,
    SoftTargetLoss,
    TeacherCache,
    forward_kl,
    teacher_cache,
    write_teacher_cache,
)
from course_lib.finetuning import AnswerExamples, LoRAConfig, attach_lora
from course_lib.training import SequenceBatches, TokenStream, TrainingConfig, train
from course_lib.training.data import IGNORE
from course_lib.transformer import LlamaConfig, llama

VOCAB, CONTEXT = 53, 31
ROWS = [[3, 5, 7], [11, 13, 17, 19, 23], [29, 31], [2, 3, 5, 7, 11, 13, 17], [37], [41, 43, 47]]


def build(seed, n_layers=1):
    model = llama(LlamaConfig(VOCAB, CONTEXT, 22, n_layers, 1, d_ff=37), seed).eval()
    if n_layers > 1:  # un enseignant qui a des préférences
        with torch.no_grad():
            model.embedding.tokens.weight.mul_(30)
    return model


def source(seed=0, batch_size=2, rows=ROWS):
    return SequenceBatches(rows, batch_size, seed)


@pytest.fixture
def teacher():
    return build(1, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "enseignant.safetensors"


def trained(data, loss):
    student = build(0)
    train(student, data, TrainingConfig(20, 1e-2, log_every=20), loss=loss, progress=False)
    return student.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("top_k", [None, VOCAB])
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 1e-4), (torch.float16, 1e-2)])
def test_training_with_the_cache_equals_training_with_the_teacher(
    path, teacher, top_k, dtype, atol
):
    data = source(seed=3)
    cache = write_teacher_cache(path, teacher, source(), top_k, dtype, progress=False)
    for settings in ({}, {"alpha": 0.7, "temperature": 2.0}):
        live = trained(data, SoftTargetLoss(teacher, **settings))
        saved = trained(DistillationBatches(data, cache), SoftTargetLoss(**settings))
        assert_close(saved, live, atol=atol, rtol=0)
    assert (live["norm.weight"] - build(0).state_dict()["norm.weight"]).abs().max() > 2 * atol


def test_batches_bring_the_log_probabilities_of_the_teacher(path, teacher):
    cache = write_teacher_cache(path, teacher, source(), dtype=torch.float32, progress=False)
    data = DistillationBatches(source(seed=7, batch_size=3), cache)
    for step in range(4):
        inputs, targets, log_probs = data.batch(step)
        assert torch.equal(inputs, data.source.batch(step)[0])
        kept = targets != IGNORE
        expected = teacher(inputs).log_softmax(-1) * kept[..., None]
        assert_close(log_probs, expected.detach(), atol=1e-5, rtol=1e-5)
    assert sum(len(inputs) for inputs, _, _ in data.in_order()) == len(ROWS)
    assert data.fingerprint()["cache"]["top_k"] is None


def test_top_k_keeps_the_best_and_shares_the_rest_evenly(path, teacher):
    cache = write_teacher_cache(path, teacher, source(), 5, torch.float32, progress=False)
    inputs, targets = source(batch_size=len(ROWS)).batch(0)
    _, _, log_probs = DistillationBatches(source(batch_size=len(ROWS)), cache).batch(0)
    kept = targets != IGNORE
    exact = teacher(inputs).log_softmax(-1)[kept].detach()
    ours = log_probs[kept]
    best = exact.topk(5).indices
    assert_close(ours.gather(1, best), exact.gather(1, best), atol=1e-5, rtol=1e-5)
    others = torch.ones_like(exact, dtype=torch.bool).scatter(1, best, False)
    rest = (exact.exp() * others).sum(1)
    shares = ours[others].view(len(ours), VOCAB - 5)
    assert_close(shares, (rest / (VOCAB - 5)).log()[:, None].expand_as(shares), atol=1e-4, rtol=0)
    assert_close(ours.exp().sum(1), torch.ones(len(ours)))
    gap = forward_kl(ours, exact)  # KL(enseignant ‖ cache)
    assert 0 < gap < rest.mean() * math.log(VOCAB - 5)


def test_more_tokens_bring_the_cache_closer(tmp_path, teacher):
    _, _, exact = next(iter(_open(tmp_path / "tout", teacher, None).in_order()))
    gaps = []
    for k in (1, 3, 11, 37):
        _, targets, log_probs = next(iter(_open(tmp_path / f"{k}", teacher, k).in_order()))
        gaps.append(forward_kl(log_probs, exact, mask=targets != IGNORE).item())
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 2 * gaps[-1] > 0


def _open(path, teacher, top_k):
    cache = write_teacher_cache(path, teacher, source(), top_k, torch.float32, progress=False)
    return DistillationBatches(source(batch_size=len(ROWS)), cache)


def test_the_file_is_an_ordinary_safetensors(path, teacher):
    write_teacher_cache(path, teacher, source(), 5, progress=False)
    tensors = load_file(path)
    n_positions = sum(len(row) + 1 for row in ROWS)
    assert {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()} == {
        "offsets": (torch.int64, (len(ROWS) + 1,)),
        "log_probs": (torch.float16, (n_positions, 6)),
        "indices": (torch.int16, (n_positions, 5)),
        "rows": (torch.uint8, (len(ROWS), 16)),
    }
    assert tensors["offsets"].tolist()[:3] == [0, 4, 10]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_large_vocabulary_needs_wider_ids(path):
    wide = llama(LlamaConfig(2**15 + 3, 7, 4, 1, 1, d_ff=3), 0)
    last = [[2**15 + 2, 2**15 + 1]]
    with torch.no_grad():
        wide.embedding.tokens.weight[2**15 :] *= 1000
    cache = write_teacher_cache(path, wide, source(rows=last), 3, progress=False)
    indices = load_file(path)["indices"]
    assert indices.dtype == torch.int32 and indices.max() >= 2**15
    assert cache.log_probs([0]).argmax(1).max() >= 2**15


def test_a_second_call_does_not_ask_again(path, teacher, monkeypatch):
    first = write_teacher_cache(path, teacher, source(), progress=False)
    written = path.read_bytes()

    def refuse(*_):
        raise AssertionError("l’enseignant a été consulté")

    monkeypatch.setattr(teacher_cache, "teacher_logits", refuse)
    # Ni la graine ni la taille des lots ne changent les réponses de l’enseignant.
    again = write_teacher_cache(path, teacher, source(seed=5, batch_size=4), progress=False)
    assert path.read_bytes() == written
    assert torch.equal(again.log_probs([2, 0]), first.log_probs([2, 0]))
    with pytest.raises(AssertionError, match="consulté"):
        write_teacher_cache(path.with_name("autre"), teacher, source(), progress=False)


def test_only_answers_are_kept(path, teacher):
    examples = [([5, 6, 7], [8, 2]), ([9], [10, 11, 2]), ([3, 4], [2])]
    data = AnswerExamples(examples, 2, seed=1)
    cache = write_teacher_cache(path, teacher, data, dtype=torch.float32, progress=False)
    assert load_file(path)["offsets"].tolist() == [0, 2, 5, 6]
    batch = DistillationBatches(data, cache).batch(0)
    live = SoftTargetLoss(teacher)(build(0), batch[:2])
    assert_close(SoftTargetLoss()(build(0), batch), live)


def test_another_teacher_or_other_data_are_refused(path, teacher):
    write_teacher_cache(path, teacher, source(), progress=False)
    written = path.read_bytes()
    with pytest.raises(ValueError, match="d’un autre enseignant, ou de celui-ci avant un entr"):
        write_teacher_cache(path, build(2, 3), source(), progress=False)
    for rows in (ROWS[:-1], ROWS[::-1], [[*ROWS[0], 2], *ROWS[1:]]):
        with pytest.raises(ValueError, match=r"d’autres données \(6 lignes\)"):
            TeacherCache.open(path, source=source(rows=rows))
    with pytest.raises(ValueError, match=r"top_k = None et dtype = torch\.float16, vous demandez"):
        write_teacher_cache(path, teacher, source(), 5, progress=False)
    attach_lora(teacher, LoRAConfig(2))
    with pytest.raises(ValueError, match="d’un autre enseignant"):
        TeacherCache.open(path, teacher)
    assert path.read_bytes() == written
    cache = TeacherCache.open(path)
    with pytest.raises(ValueError, match="La ligne 0 du lot n’est pas dans le cache"):
        DistillationBatches(source(rows=[[4, 4, 4]]), cache).batch(0)
    stream = TokenStream([token for row in ROWS for token in row], 4, 1)
    with pytest.raises(ValueError, match="TokenStream, qui redécoupe son texte"):
        DistillationBatches(stream, cache).batch(0)


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_truncated_file_is_refused(path, teacher, length):
    write_teacher_cache(path, teacher, source(), progress=False)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"est tronqué ou abîmé .* effacez-le"):
        TeacherCache.open(path)


def test_other_files_are_refused(path, teacher):
    with pytest.raises(FileNotFoundError, match="écrivez-le avec write_teacher_cache"):
        TeacherCache.open(path)
    save_file({"log_probs": torch.zeros(2, 3)}, path)
    with pytest.raises(ValueError, match="n’est pas un cache d’enseignant"):
        write_teacher_cache(path, teacher, source(), progress=False)


def test_an_interrupted_writing_leaves_nothing(path, teacher, monkeypatch):
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return teacher(arguments[1]).detach().flatten(0, 1)[arguments[2]]

    monkeypatch.setattr(teacher_cache, "teacher_logits", stop)
    with pytest.raises(KeyboardInterrupt):
        write_teacher_cache(path, teacher, source(), progress=False)
    assert list(path.parent.iterdir()) == []


def test_impossible_settings(path, teacher):
    for top_k in (0, VOCAB + 1, 2.0):
        with pytest.raises(ValueError, match=rf"top_k = {top_k} : il faut un entier de 1 à 53"):
            write_teacher_cache(path, teacher, source(), top_k)
    with pytest.raises(ValueError, match=r"dtype = torch\.bfloat16 : choisissez"):
        write_teacher_cache(path, teacher, source(), dtype=torch.bfloat16)
    assert not path.exists()
