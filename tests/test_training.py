"""La boucle d’entraînement : exacte, reprise au bit près, claire quand elle refuse."""

import functools
import itertools
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.recurrent import RecurrentLM, RecurrentSeq2Seq
from course_lib.training import (
    IGNORE,
    AlignedBatches,
    CheckpointStore,
    History,
    PairBatches,
    Record,
    SequenceBatches,
    TokenStream,
    TrainingConfig,
    TrainingDiverged,
    TrainingInterrupted,
    build_optimizer,
    evaluate_loss,
    language_model_loss,
    learning_rate_at,
    load_weights,
    save_weights,
    sequence_to_sequence_loss,
    token_loss,
    train,
)
from course_lib.training.checkpoint import check_same
from course_lib.training.identity import run_identity
from course_lib.transformer import (
    LlamaConfig,
    OriginalTransformerConfig,
    llama,
    original_transformer,
)


class TinyLM(nn.Module):
    """Un modèle de langue de quelques centaines de poids, avec dropout et poids partagés."""

    def __init__(self, vocab_size=17, d_model=8, seed=3):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tokens = nn.Embedding(vocab_size, d_model)
            self.dropout = nn.Dropout(0.1)
            self.layer = nn.GRU(d_model, d_model, batch_first=True)
            self.head = nn.Linear(d_model, vocab_size, bias=False)
        self.head.weight = self.tokens.weight

    def hidden(self, ids):
        return self.dropout(self.layer(self.tokens(ids))[0])

    def forward(self, ids):
        return self.head(self.hidden(ids))


def stream(seed=5):
    return TokenStream([(i * i + i // 7) % 17 for i in range(700)], 11, 3, seed=seed)


def config(**changes):
    values = {"n_steps": 30, "checkpoint_every": 5, "learning_rate": 1e-2, "n_threads": 1}
    return TrainingConfig(**{**values, **changes})


def run(folder=None, model=None, data=None, **changes):
    given = ("loss", "architecture", "evaluate", "stop_at")
    options = {k: changes.pop(k) for k in given if k in changes}
    model = model or TinyLM()
    data = data or stream()
    history = train(
        model, data, config(**changes), checkpoint_dir=folder, progress=False, **options
    )
    return model, history


def assert_same_weights(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


# --- Réglages, taux d’apprentissage, optimiseur


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_steps": 0}, r"n_steps = 0 est impossible"),
        ({"learning_rate": -1.0}, r"learning_rate = -1\.0"),
        ({"warmup_steps": 31}, r"warmup_steps = 31 .* n_steps = 30"),
        ({"min_learning_rate_ratio": 1.5}, r"min_learning_rate_ratio = 1\.5"),
        ({"betas": (0.9, 1.0)}, r"betas = \(0\.9, 1\.0\)"),
        ({"max_grad_norm": 0}, r"max_grad_norm = 0"),
        ({"eval_every": -1}, r"eval_every = -1"),
        ({"n_threads": 0}, r"n_threads = 0"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_the_schedule_climbs_then_follows_a_half_cosine():
    settings_ = config(n_steps=110, warmup_steps=10, learning_rate=2.0, min_learning_rate_ratio=0.1)
    rates = [learning_rate_at(settings_, step) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(0.2 + 1.8 / 2)  # mi-chemin
    assert rates[85] == pytest.approx(0.2 + 1.8 * (1 + math.cos(math.pi * 0.75)) / 2)
    assert learning_rate_at(settings_, 110) == pytest.approx(0.2)


def test_only_matrices_decay_and_frozen_parameters_are_left_out():
    model = TinyLM()
    model.layer.weight_hh_l0.requires_grad_(False)
    matrices, vectors = build_optimizer(model, config(weight_decay=0.3)).param_groups
    assert [p.shape for p in matrices["params"]] == [(17, 8), (24, 8)]  # poids partagé : une fois
    assert matrices["weight_decay"] == 0.3
    assert [p.shape for p in vectors["params"]] == [(24,), (24,)]
    assert vectors["weight_decay"] == 0.0
    with pytest.raises(ValueError, match="aucun paramètre à entraîner"):
        build_optimizer(model.requires_grad_(False), config())


def test_the_loop_equals_the_same_loop_written_by_hand():
    expected = TinyLM()
    settings_, data = config(n_steps=12, max_grad_norm=0.5), stream()
    optimizer = build_optimizer(expected, settings_)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings_.seed)
        for step in range(12):
            inputs, targets = data.batch(step)
            logits = expected(inputs)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(settings_, step)
            optimizer.step()
    model, history = run(n_steps=12, max_grad_norm=0.5)
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert history.records[-1].tokens == 12 * 3 * 11


def test_the_caller_keeps_its_generator_and_its_threads():
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    run(n_steps=3, n_threads=threads + 1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


# --- Données


def test_a_batch_depends_only_on_the_seed_and_the_step():
    forward = [stream().batch(step) for step in range(80)]
    source = stream()
    for step in reversed(range(80)):
        for ours, theirs in zip(source.batch(step), forward[step], strict=True):
            assert torch.equal(ours, theirs)
    assert not torch.equal(stream(seed=6).batch(0)[0], forward[0][0])


def test_an_epoch_reads_every_window_once():
    source = TokenStream(range(1000), 7, 5, seed=2)  # 1 jeton = sa position
    for epoch in range(3):
        n_windows = (999 // 7 - 1) // 5 * 5
        steps = range(epoch * n_windows // 5, (epoch + 1) * n_windows // 5)
        batches = [source.batch(step) for step in steps]
        read = torch.cat([inputs.flatten() for inputs, _ in batches])
        assert len(read.unique()) == len(read) == n_windows * 7
        assert all(torch.equal(targets, inputs + 1) for inputs, targets in batches)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 90), context=st.integers(1, 13), batch=st.integers(1, 5))
def test_in_order_scores_every_token_but_the_first_exactly_once(n, context, batch):
    batches = list(TokenStream(range(n), context, batch).in_order())
    assert torch.cat([targets.flatten() for _, targets in batches]).tolist() == list(range(1, n))
    assert all(torch.equal(inputs + 1, targets) for inputs, targets in batches)


def test_a_text_too_short_says_so():
    with pytest.raises(ValueError, match="au moins 2, un lu et un à prédire"):
        TokenStream([4], 11, 3)
    with pytest.raises(ValueError, match="11 jetons : il en faut au moins 12"):
        TokenStream(range(11), 11, 3).batch(0)
    assert TokenStream(range(12), 11, 3).batch(7)[0].tolist() == [list(range(11))]


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_a_text_projected_from_a_file_is_not_copied(tmp_path, dtype):
    ids = [(i * i + i // 7) % 17 for i in range(700)]
    np.array(ids, dtype=dtype).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", dtype=dtype, mode="r")
    source, expected = TokenStream(mapped, 11, 3, seed=5), TokenStream(ids, 11, 3, seed=5)
    assert source.ids.data_ptr() == mapped.ctypes.data
    assert source.fingerprint() == expected.fingerprint()
    for step in (0, 19, 40):
        assert all(map(torch.equal, source.batch(step), expected.batch(step)))
    for ours, theirs in zip(source.in_order(), expected.in_order(), strict=True):
        assert ours[0].dtype == torch.long and all(map(torch.equal, ours, theirs))
    assert TokenStream(ids, 100, 64).tokens_per_step == 500  # cinq fenêtres, pas soixante-quatre
    with pytest.raises(TypeError, match=r"entier\W+reçu 1\.5"):
        TokenStream([1.5, 2.0, 3.0], 1, 1)


def test_rows_are_framed_and_padded():
    rows = SequenceBatches([[5, 6, 7], [8]], 2, pad_id=0, bos_id=1, eos_id=2)
    inputs, targets = next(rows.in_order())
    assert inputs.tolist() == [[1, 5, 6, 7], [1, 8, 0, 0]]
    assert targets.tolist() == [[5, 6, 7, 2], [8, 2, IGNORE, IGNORE]]
    pairs = PairBatches([[3, 4], [5]], [[6], [7, 8]], 2)
    source, target_in, target_out = next(pairs.in_order())
    assert source.tolist() == [[3, 4], [5, 0]]
    assert target_in.tolist() == [[1, 6, 0], [1, 7, 8]]
    assert target_out.tolist() == [[6, 2, IGNORE], [7, 8, 2]]
    labels = AlignedBatches([[3, 4], [5]], [[6, IGNORE], [7]], 2)
    assert next(labels.in_order())[1].tolist() == [[6, IGNORE], [7, IGNORE]]


def test_misaligned_examples_are_refused():
    with pytest.raises(ValueError, match="2 sources pour 1 cibles"):
        PairBatches([[1], [2]], [[1]], 1)
    with pytest.raises(ValueError, match="La ligne 1 compte 1 jetons et 2 étiquettes"):
        AlignedBatches([[1], [2]], [[1], [2, 3]], 1)
    with pytest.raises(ValueError, match="Aucun exemple"):
        SequenceBatches([], 1)
    with pytest.raises(ValueError, match="batch_size = 0"):
        SequenceBatches([[1]], 0)


# --- Pertes


def test_padding_does_not_change_the_loss():
    model = TinyLM().eval()
    rows = [[5, 6, 7, 3, 4], [8], [9, 10, 11]]
    together = evaluate_loss(model, SequenceBatches(rows, 3))
    one_by_one = evaluate_loss(model, SequenceBatches(rows, 1))
    assert together == pytest.approx(one_by_one, rel=1e-6)
    inputs, targets = next(SequenceBatches(rows, 3).in_order())
    log_probs = torch.log_softmax(model(inputs), -1)
    kept = [(b, t) for b in range(3) for t in range(6) if targets[b, t] != IGNORE]
    expected = -sum(log_probs[b, t, targets[b, t]].item() for b, t in kept) / len(kept)
    assert together == pytest.approx(expected, rel=1e-6)
    assert language_model_loss(model, (inputs, targets))[1] == len(kept) == 12


def test_evaluation_switches_dropout_off_and_back():
    model = TinyLM().train()
    assert evaluate_loss(model, stream()) == evaluate_loss(model, stream())
    assert model.training
    evaluate_loss(model.eval(), stream())
    assert not model.training


# --- Journal


def test_history_survives_json_and_draws_itself(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    history = History([Record(5, 160, 2.5, 0.01), Record(10, 320, 2.0, 0.02, {"val_loss": 2.1})])
    history.seconds = 4.0
    history.save(tmp_path / "journal.json")
    again = History.load(tmp_path / "journal.json")
    assert again == history
    assert again.tokens_per_second == 80
    assert again.curve("val_loss") == ([320], [2.1])
    with pytest.raises(ValueError, match="Mesures connues : loss, val_loss"):
        again.curve("absente")
    axes = again.plot()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("jetons vus", "perte (nats par jeton)")
    assert [line.get_ydata().tolist() for line in axes.lines] == [[2.5, 2.0], [2.1]]
    matplotlib.pyplot.close(axes.figure)


def test_records_hold_the_mean_loss_and_the_measures():
    model = TinyLM()
    evaluate = lambda m: {"mode": float(m.training)}  # noqa: E731
    _, history = run(model=model, n_steps=10, log_every=2, eval_every=5, evaluate=evaluate)
    assert [r.step for r in history.records] == [2, 4, 5, 6, 8, 10]
    assert [r.metrics for r in history.records if r.metrics] == [{"mode": 0.0}] * 2
    _, finer = run(n_steps=10, log_every=1)
    losses = [r.loss for r in finer.records]
    assert history.records[0].loss == pytest.approx(sum(losses[:2]) / 2)
    assert not model.training


# --- Points de reprise

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[2])
import functools
from test_training import run, language_model_loss
@functools.wraps(language_model_loss)
def slow(model, batch):
    time.sleep(0.02)
    return language_model_loss(model, batch)
run(sys.argv[1], loss=slow)
"""


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    expected, history = run(tmp_path / "d’une traite")
    command = [sys.executable, "-c", CHILD, str(tmp_path / "tué"), str(Path(__file__).parent)]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not (tmp_path / "tué" / "step-0000010").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()  # SIGKILL : aucune chance de ranger
    assert child.wait() != 0
    steps = CheckpointStore(tmp_path / "tué").steps()
    assert 10 <= steps[-1] < 30
    resumed, resumed_history = run(tmp_path / "tué", model=TinyLM(seed=99))
    assert_same_weights(resumed, expected)
    assert resumed_history == history
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (tmp_path / d / "step-0000030" / name for d in ("tué", "d’une traite"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_the_first_steps_are_those_of_the_whole_run(tmp_path):
    measures = {"evaluate": lambda model: {"poids": float(model.tokens.weight.sum())}}
    expected, history = run(**measures, eval_every=9)
    start = run(tmp_path, **measures, eval_every=9, stop_at=18)[1]
    assert [record.step for record in start.records if record.metrics] == [9, 18]
    whole = [record for record in history.records if record.step <= 18]
    assert [r for r in start.records if r.metrics] == [r for r in whole if r.metrics]
    rest, _ = run(tmp_path, model=TinyLM(seed=99), **measures, eval_every=9)
    assert_same_weights(rest, expected)


def test_the_last_two_checkpoints_are_kept(tmp_path):
    tmp_path.joinpath(".step-0000003.tmp").mkdir()  # laissé par un entraînement tué
    run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-0000025", "step-0000030"]
    names = sorted(p.name for p in tmp_path.joinpath("step-0000030").iterdir())
    assert names == ["model.safetensors", "optimizer.safetensors", "state.json"]


def test_a_finished_run_is_not_redone(tmp_path):
    model, history = run(tmp_path)

    @functools.wraps(language_model_loss)
    def never(model, batch):
        raise AssertionError("aucun pas ne devrait être refait")

    again, again_history = run(tmp_path, model=TinyLM(seed=99), loss=never)
    assert_same_weights(again, model)
    assert again_history == history


def interrupt_at(step, action):
    """Une perte qui agit au pas demandé."""
    calls = []

    @functools.wraps(language_model_loss)  # la même perte, pour qui la reprendra
    def loss(model, batch):
        calls.append(None)
        value, n = language_model_loss(model, batch)
        return action(value) if len(calls) == step else value, n

    return loss


def test_control_c_saves_then_stops(tmp_path):
    def press_control_c(value):
        signal.raise_signal(signal.SIGINT)
        return value

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingInterrupted, match=r"après le pas 7. Relancez-le à l’identique"):
        run(tmp_path, loss=interrupt_at(7, press_control_c))
    assert signal.getsignal(signal.SIGINT) is before
    assert CheckpointStore(tmp_path).steps() == [5, 7]
    assert_same_weights(run(tmp_path)[0], run()[0])
    with pytest.raises(KeyboardInterrupt, match="n’a pas pu être enregistré"):
        run(loss=interrupt_at(7, press_control_c))


def test_what_stops_a_run_crosses_processes():
    for error in (TrainingInterrupted(7, "dossier", None), TrainingDiverged(7, "divergé")):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error) and str(copy) == str(error) and copy.step == 7


def test_a_divergence_stops_before_spoiling_the_checkpoints(tmp_path):
    message = r"fini au pas 13.* learning_rate \(ici 0\.01\).* pas 10 est intact"
    with pytest.raises(FloatingPointError, match=message):
        run(tmp_path, loss=interrupt_at(13, lambda value: value * math.nan))
    assert CheckpointStore(tmp_path).steps() == [5, 10]
    assert_same_weights(run(tmp_path)[0], run()[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: (folder / "optimizer.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 100),
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_previous_one(tmp_path, damage):
    expected, _ = run(tmp_path)
    damage(tmp_path / "step-0000030")
    with pytest.warns(UserWarning, match="step-0000030 » est abîmé.*revient au précédent"):
        model, _ = run(tmp_path, model=TinyLM(seed=99))
    assert_same_weights(model, expected)
    damage(tmp_path / "step-0000025")
    damage(tmp_path / "step-0000030")
    with (
        pytest.warns(UserWarning, match="est abîmé"),
        pytest.raises(ValueError, match=r"Aucun point de reprise lisible.*Effacez"),
    ):
        run(tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_steps": 40}, "« n_steps » diffère : 30 dans le point de reprise, 40 maintenant"),
        ({"seed": 1}, "« seed » diffère : 0"),
        ({"data": stream(seed=8)}, "« data_seed » diffère : 5 .* 8 maintenant"),
        ({"data": TokenStream([1, 2] * 350, 11, 3, seed=5)}, "« checksum » diffère"),
        ({"model": TinyLM(d_model=9)}, r"« tokens.weight » diffère : float32 \[17, 8\] .*17, 9\]"),
        ({"architecture": {"n_heads": 4}}, "« n_heads » diffère : 2 .* 4 maintenant"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, message):
    run(tmp_path, architecture={"n_heads": 2})
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **{"architecture": {"n_heads": 2}, **changes})


def weighted(weight=0.5, shift=0.0):
    """Une perte qui a capturé ses réglages, comme en font les distillations."""

    def loss(model, batch):
        value, n = language_model_loss(model, batch)
        return weight * value + shift, n

    return loss


class Scaled:
    """Une perte qui consulte un autre modèle et garde ses réglages en attributs."""

    def __init__(self, teacher, scale):
        self.teacher, self.scale, self._calls = teacher, scale, 0

    def __call__(self, model, batch):
        self._calls += 1
        return weighted(self.scale)(model, batch)


TEACHER = TinyLM(seed=11)
LOSSES = {
    "un réglage capturé": (
        weighted(0.5),
        weighted(0.7),
        r"«\sloss.weight\s» diffère\s: 0\.5 .* 0\.7",
    ),
    "un attribut": (Scaled(TEACHER, 0.5), Scaled(TEACHER, 2), r"«\sloss.scale\s» diffère\s: 0\.5"),
    "un enseignant": (
        Scaled(TEACHER, 0.5),
        Scaled(TinyLM(seed=12), 0.5),
        r"«\sloss.teacher.weights\s» diffère",
    ),
    "un argument": (
        functools.partial(weighted(), shift=1),
        functools.partial(weighted(), shift=2),
        r"«\sloss.shift\s» diffère\s: 1 .* 2 maintenant",
    ),
    "une autre perte": (Scaled(TEACHER, 0.5), language_model_loss, r"«\sloss.function\s» diffère"),
}


@pytest.mark.parametrize("begun, resumed, message", LOSSES.values(), ids=LOSSES)
def test_a_run_does_not_resume_under_another_loss(begun, resumed, message):
    first, second = (run_identity(TinyLM(), stream(), config(), None, x) for x in (begun, resumed))
    check_same(first["loss"], first["loss"], "le point de reprise")
    with pytest.raises(ValueError, match=message):
        check_same(first["loss"], second["loss"], "le point de reprise")


def test_the_same_loss_resumes_and_its_state_does_not_count(tmp_path):
    loss = Scaled(TEACHER, 0.5)
    expected, _ = run(tmp_path, loss=loss)
    shutil.rmtree(tmp_path / "step-0000030")
    again, _ = run(tmp_path, model=TinyLM(seed=99), loss=loss)  # il a compté ses appels
    assert_same_weights(again, expected)
    with pytest.raises(ValueError, match=r"«\sloss.scale\s» diffère.* autre dossier"):
        run(tmp_path, loss=Scaled(TEACHER, 0.25))
    with pytest.raises(ValueError, match=r"«\sloss.function\s» diffère"):
        run(tmp_path)


def test_a_loss_that_reads_the_trained_model_resumes(tmp_path):
    for seed in (3, 99):  # au second tour, un modèle neuf reprend
        model = TinyLM(seed=seed)
        run(tmp_path, model=model, loss=Scaled(model.layer, 0.5))


def test_an_old_checkpoint_without_its_loss_resumes_with_a_warning(tmp_path):
    expected, _ = run(tmp_path)
    for path in tmp_path.glob("step-*/state.json"):
        state = json.loads(path.read_text(encoding="utf-8"))
        del state["identity"]["loss"]
        path.write_text(json.dumps(state), encoding="utf-8")
    with pytest.warns(UserWarning, match="ne dit pas sous quelle perte .* vérifiez que c’est la m"):
        again, _ = run(tmp_path, model=TinyLM(seed=99))
    assert_same_weights(again, expected)


# --- Des lots sans cible


def silent(n_rows=5, n_taught=1):
    """Des lignes dont seules les premières ont des cibles."""
    inputs = [[1 + i, 2 + i, 3 + i] for i in range(n_rows)]
    targets = [[5, 6, IGNORE] if i < n_taught else [IGNORE] * 3 for i in range(n_rows)]
    return inputs, targets


LM_LOSSES = {"language_model_loss": language_model_loss, "token_loss": token_loss}


@pytest.mark.parametrize("loss", LM_LOSSES.values(), ids=LM_LOSSES)
def test_the_batch_size_does_not_change_the_evaluation(loss):
    model, rows = TinyLM().eval(), silent(n_rows=7, n_taught=3)
    expected = evaluate_loss(model, AlignedBatches(*silent(n_rows=3, n_taught=3), 3), loss)
    for batch_size in range(1, 8):
        value = evaluate_loss(model, AlignedBatches(*rows, batch_size), loss)
        assert value == pytest.approx(expected, abs=1e-6)


def test_the_evaluation_of_a_translator_does_not_depend_on_the_batch_size():
    shape = OriginalTransformerConfig(17, 17, 11, 8, 1, 1, 2, 16, dropout=0.0)
    model = original_transformer(shape).eval()
    data = [PairBatches([[3, 4], [5, 6], [7, 8]], [[3], [4, 5], [6]], size) for size in (1, 3)]
    for batches in data:
        batches._columns[2][1].fill_(IGNORE)
    values = [evaluate_loss(model, batches, sequence_to_sequence_loss) for batches in data]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.parametrize("loss", LM_LOSSES.values(), ids=LM_LOSSES)
def test_a_batch_without_target_changes_nothing(loss):
    """Un lot sur cinq apprend : les poids ne bougent que ces pas-là."""
    data = AlignedBatches(*silent(), 1)
    taught = [i for i in range(20) if (data.batch(i)[1] != IGNORE).any()]
    assert taught[0] > 0 and len(taught) == 4
    seen = []

    def evaluate(model):
        seen.append(model.layer.weight_hh_l0.detach().clone())
        return {}

    options = {"n_steps": 20, "log_every": 1, "eval_every": 1, "weight_decay": 0.5}
    _, history = run(data=data, loss=loss, evaluate=evaluate, **options)
    first, *_ = [r.step for r in history.records]
    assert first == taught[0] + 1 and len(history.records) == 20 - taught[0]
    assert all(math.isfinite(r.loss) for r in history.records)
    assert history.records[-1].tokens == 2 * 4
    moved = [i for i, (a, b) in enumerate(itertools.pairwise(seen)) if not a.equal(b)]
    assert [i + first + 1 for i in moved] == [i + 1 for i in taught[1:]]


def test_data_without_any_target_are_refused():
    data = AlignedBatches(*silent(n_taught=0), 2)
    with pytest.raises(ValueError, match="Aucune cible dans ces données : vides, ou toutes à -100"):
        run(data=data, n_steps=3)
    with pytest.raises(ValueError, match="au moins un jeton à prédire"):
        evaluate_loss(TinyLM(), data)


def test_settings_that_do_not_touch_the_weights_may_change(tmp_path):
    run(tmp_path)
    shutil.rmtree(tmp_path / "step-0000030")
    model, _ = run(tmp_path, checkpoint_every=4, log_every=3, eval_every=2)
    assert_same_weights(model, run()[0])


def test_weights_are_saved_once_and_checked_when_read(tmp_path):
    path = tmp_path / "poids.safetensors"
    save_weights(TinyLM(), path)
    other = TinyLM(seed=99)
    load_weights(other, path)
    assert_same_weights(other, TinyLM())
    assert other.head.weight is other.tokens.weight
    with pytest.raises(ValueError, match=r"« tokens.weight » diffère"):
        load_weights(TinyLM(vocab_size=19), path)
    with pytest.raises(FileNotFoundError, match="Aucun fichier de poids"):
        load_weights(other, tmp_path / "absent.safetensors")


# --- Tous les modèles du cours


@pytest.mark.slow
def test_every_kind_of_model_trains_with_the_loop():
    rows = [[3 + (i + j) % 8 for j in range(3 + i % 4)] for i in range(24)]
    backwards = [row[::-1] for row in rows]
    pairs, text = PairBatches(rows, backwards, 6), SequenceBatches(rows, 6)
    labelled = AlignedBatches(rows, [[3 + t % 4 for t in row] for row in rows], 6)
    torch.manual_seed(0)
    sizes = {"d_model": 16, "n_heads": 2, "d_ff": 24, "context_length": 16}
    depth = {"n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.0}
    transformer = original_transformer(OriginalTransformerConfig(11, 11, **sizes, **depth))
    encoder = original_transformer(OriginalTransformerConfig(11, 11, **sizes, **depth)).encoder
    encoder.head = nn.Linear(16, 11)
    cases = [
        (llama(LlamaConfig(11, n_layers=1, **sizes)), text, language_model_loss),
        (RecurrentLM(11, 16, 16), text, language_model_loss),
        (transformer, pairs, sequence_to_sequence_loss),
        (RecurrentSeq2Seq(11, 11, 16, 16, "gru", True), pairs, sequence_to_sequence_loss),
        (encoder, labelled, token_loss),
    ]
    for model, data, loss in cases:
        before = evaluate_loss(model, data, loss)
        train(model, data, config(n_steps=60), loss=loss, progress=False)
        after = evaluate_loss(model, data, loss)
        assert after < 0.7 * before, type(model).__name__
