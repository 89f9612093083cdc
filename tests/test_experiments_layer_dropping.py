"""Des étages retirés : lesquels restent, ce que l’enseignant écrit, l’expérience entière."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from course_experiments import layer_dropping as lab
from course_experiments import written_texts
from course_experiments.records import load_records
from course_experiments.written_texts import OPENINGS, Writing, read_texts, write_texts
from course_lib.generation import CachedReader
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, count_parameters, llama

STOPS = (0, 3)
WRITING = Writing(max_new_tokens=7, batch_size=3)
TINY = lab.Protocol(
    n_texts=11,
    n_held_out=4,
    writing=WRITING,
    n_steps=6,
    batch_size=2,
    row_length=31,
    eval_every=2,
)


@pytest.fixture(scope="module")
def pair():
    tokenizer = BPETokenizer.train(OPENINGS, 400)
    torch.manual_seed(0)
    shape = LlamaConfig(tokenizer.vocab_size, 211, d_model=14, n_layers=7, n_heads=1, d_ff=13)
    model = llama(shape).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model, tokenizer


@pytest.fixture(autouse=True)
def stand_in(pair, monkeypatch):
    monkeypatch.setattr(lab, "load_teacher", lambda: (*pair, STOPS))
    monkeypatch.setattr(lab, "PARALLEL_TEXTS", lab.PARALLEL_TEXTS[:2])
    monkeypatch.setattr(written_texts, "NumbaReader", CachedReader)


def write(path, wanted, pair, writing=WRITING, **options):
    return write_texts(path, wanted, writing, *pair, STOPS, **options)


def test_kept_layers_of_smollm():
    dropped = {
        n: sorted(set(range(30)) - set(lab.kept_layers(30, 30 - n))) for n in (0, 1, 3, 6, 15)
    }
    assert dropped[0] == [] and dropped[1] == [15]
    assert dropped[3] == [6, 15, 24]
    assert dropped[6] == [4, 8, 13, 17, 22, 26]
    assert dropped[15] == [2, 4, 6, 8, 10, 11, 13, 15, 17, 19, 20, 22, 24, 26, 28]


@pytest.mark.parametrize("n_layers", [3, 7, 30])
def test_the_ends_are_always_kept(n_layers):
    for n_kept in range(3, n_layers + 1):
        layers = lab.kept_layers(n_layers, n_kept)
        assert len(layers) == n_kept and layers == sorted(set(layers))
        assert layers[:2] == [0, 1] and layers[-1] == n_layers - 1


@pytest.mark.parametrize("n_kept", [2, 31])
def test_impossible_counts_are_refused(n_kept):
    with pytest.raises(ValueError, match=f"layers = {n_kept} : sur 30 étages, gardez-en de 3 à 30"):
        lab.kept_layers(30, n_kept)


def test_the_openings_are_forty_and_different():
    assert len(set(OPENINGS)) == len(OPENINGS) == lab.Protocol().n_held_out == 40


@pytest.mark.slow
def test_interrupted_texts_are_those_of_a_single_run(tmp_path, pair):
    whole = write(tmp_path / "whole.jsonl", range(7), pair)
    assert sorted(whole) == list(range(9))  # des lots entiers de trois
    for index, text in whole.items():
        assert text.prompt == [0, *pair[1].encode(OPENINGS[index])]
        assert 1 <= len(text.new) <= 7
        assert text.text.startswith(OPENINGS[index])
    assert len({tuple(text.new) for text in whole.values()}) == 9

    path, calls = tmp_path / "resumed.jsonl", []

    def stop_at_third():
        calls.append(len(read_texts(path, WRITING)))
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, range(7), pair, before_batch=stop_at_third)
    assert calls == [0, 3, 6]  # chaque lot est au fichier avant le suivant
    assert write(path, range(7), pair) == whole == read_texts(path, WRITING)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["resumed.jsonl", "whole.jsonl"]


@pytest.mark.slow
def test_last_texts_can_be_written_first(tmp_path, pair):
    first = write(tmp_path / "a.jsonl", range(4, 6), pair)
    assert sorted(first) == [3, 4, 5]
    then = write(tmp_path / "a.jsonl", range(9), pair)
    assert then == write(tmp_path / "b.jsonl", range(9), pair)
    other = write(tmp_path / "c.jsonl", range(3), pair, replace(WRITING, seed=1))
    assert other[0].prompt == then[0].prompt and other[0].new != then[0].new


def test_a_damaged_line_is_named_and_nothing_is_lost(tmp_path, pair):
    path = tmp_path / "a.jsonl"
    write(path, range(3), pair)
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-9], lines[2]]), "utf-8")
    damaged = path.read_bytes()
    with pytest.raises(ValueError, match=r"« a\.jsonl », ligne 2 : .*Effacez cette ligne"):
        write(path, range(3), pair)
    assert path.read_bytes() == damaged
    path.write_text("\n".join([lines[0], lines[2]]), "utf-8")
    write(path, range(3), pair)
    assert path.read_text("utf-8").splitlines() == lines


def test_texts_of_other_settings_are_refused(tmp_path, pair):
    write(tmp_path / "a.jsonl", range(1), pair)
    with pytest.raises(ValueError, match=r"'temperature': 1\.0.*et non.*'temperature': 0\.5"):
        write(tmp_path / "a.jsonl", range(1), pair, replace(WRITING, temperature=0.5))


def open_exam(tmp_path, pair):
    texts = list(write(tmp_path / "a.jsonl", range(5), pair).values())
    return lab.Exam(*pair, lab.as_examples(texts, TINY, 0)), texts


@pytest.mark.slow
def test_exam_equals_a_text_by_text_computation(tmp_path, pair):
    exam, texts = open_exam(tmp_path, pair)
    student = lab.student_from_teacher(pair[0], [0, 1, 4, 6])
    losses, divergences, same = [], [], []
    for text in texts:
        new = text.new[: max(1, 32 - len(text.prompt))]
        ids = torch.tensor([[*text.prompt, *new]])
        with torch.no_grad():
            q, p = (m(ids[:, :-1])[0, -len(new) :].log_softmax(-1) for m in (student, pair[0]))
        losses += (-q[range(len(new)), new]).tolist()
        divergences += (p.exp() * (p - q)).sum(-1).tolist()
        same += (q.argmax(-1) == p.argmax(-1)).tolist()
    found = exam.measure(student)
    mean = [sum(values) / len(values) for values in (losses, divergences, same)]
    assert found["perplexity"] == pytest.approx(math.exp(mean[0]), rel=1e-4)
    assert found["kl"] == pytest.approx(mean[1], rel=1e-4) and mean[1] > 0.05
    assert found["agreement"] == pytest.approx(mean[2], abs=1e-6) and mean[2] < 1


@pytest.mark.slow
def test_the_teacher_agrees_with_itself(tmp_path, pair):
    exam, _ = open_exam(tmp_path, pair)
    found = exam.measure(pair[0])
    assert found["kl"] == pytest.approx(0, abs=1e-6) and found["agreement"] == 1.0


def run(tmp_path, name, *arguments, protocol=TINY):
    output, work = tmp_path / f"{name}.json", tmp_path / name
    common = ["--layers", "5", "--threads", "1", "--output", str(output), "--work", str(work)]
    return replace(lab.EXPERIMENT, settings=protocol).main([*common, *arguments]), output


def test_without_training_only_the_last_texts_are_written(tmp_path, capsys):
    code, output = run(tmp_path, "a", "--no-training")
    assert code == 0 and "3 mesures ajoutées à «" in capsys.readouterr().out
    runs = load_records(output)["runs"]
    assert list(runs) == [f"sans entraînement {n}" for n in (0, 1, 3)]  # 7 étages : pas 6 ni 15
    assert [len(r["0"]["layers"]) for r in runs.values()] == [7, 6, 4]
    assert runs["sans entraînement 0"]["0"]["agreement"] == 1.0
    lines = (tmp_path / "a" / "textes_0.jsonl").read_text("utf-8").splitlines()
    indices = [json.loads(line)["index"] for line in lines]
    assert indices == [6, 7, 8, 9, 10, 11]  # le quatrième texte mis de côté est le n° 7


@pytest.mark.slow
def test_an_interrupted_night_ends_like_a_whole_one(tmp_path, monkeypatch, capsys):
    code, whole = run(tmp_path, "whole")
    assert code == 0
    expected = load_records(whole)["runs"]["5 étages"]["0"]
    assert [point["step"] for point in expected["curve"]] == [2, 4, 6]
    assert set(expected["curve"][0]) == {
        "step", "loss", "perplexity", "kl", "agreement", "bits_per_byte"
    }  # fmt: skip
    assert expected["kl"] < load_records(whole)["runs"]["sans entraînement 2"]["0"]["kl"]
    assert len(expected["layers"]) == 5 and expected["parameters"] > 0

    # L’horloge avance d’une minute à chaque regard : la commande s’arrête, continue, s’arrête…
    ticks = iter(range(0, 60 * 10_000, 60))
    monkeypatch.setattr(lab, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    codes, messages = [], ""
    while not codes or codes[-1] != 0:
        assert len(codes) < 20
        codes.append(run(tmp_path, "cut", "--minutes", "3")[0])
        messages += capsys.readouterr().err
    assert codes[:-1] == [130] * (len(codes) - 1) and len(codes) > 3
    assert "Temps écoulé" in messages and "Entraînement interrompu après le pas" in messages
    found = load_records(tmp_path / "cut.json")["runs"]["5 étages"]["0"]
    # La perte et la durée du relevé comptent depuis le dernier arrêt ; le reste vient des poids.
    weights = {"layers", "parameters", "step", "perplexity", "kl", "agreement", "bits_per_byte"}
    assert {name: found[name] for name in weights} == {name: expected[name] for name in weights}


def test_impossible_settings_are_told_in_a_sentence(tmp_path, capsys):
    assert run(tmp_path, "a", "--texts", "4")[0] == 2
    assert "Erreur\u00a0: n_texts = 4 : les 4 derniers servent à mesurer" in capsys.readouterr().err
    assert run(tmp_path, "a", "--layers", "8")[0] == 2
    assert "layers = 8 : sur 7 étages" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_measures_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments\.layer_droppin"):
        lab.load_results(tmp_path / "layer_dropping.json")


def test_dropping_layers_saves_their_parameters(pair):
    student = lab.student_from_teacher(pair[0], lab.kept_layers(7, 5))
    block = count_parameters(pair[0].blocks[0])
    assert count_parameters(pair[0]) - count_parameters(student) == 2 * block


def test_the_shipped_record_tells_what_was_lost_and_found():
    content = lab.load_results()
    runs, plan = content["runs"], content["settings"]
    untouched, cut = (runs[f"sans entraînement {n}"]["0"] for n in (0, 6))
    again = runs["24 étages"]["0"]
    assert untouched["kl"] == 0 and untouched["agreement"] == 1
    assert again["layers"] == cut["layers"] == lab.kept_layers(30, 24)
    assert again["curve"][-1]["step"] == plan["n_steps"]
    assert untouched["perplexity"] < again["perplexity"] < cut["perplexity"]
