"""L’expérience du chapitre 00 : ce qu’elle mesure, ce qu’elle limite, ce qu’elle reprend."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from course_experiments import model_families as families
from course_lib.evaluation.story_task import build_task, oracle_score, score_ngram, with_end
from course_lib.ngram import KneserNeyModel
from course_lib.transformer import LlamaConfig, llama

TINY = (
    families.Setting("trigramme", "ngram", order=3),
    families.Setting("gru", "gru", d_model=8, hidden_size=11, learning_rate=1e-2),
    families.Setting(
        "transformer", "transformer", d_model=8, n_layers=2, n_heads=2, learning_rate=1e-2
    ),
)


@pytest.fixture(scope="module")
def task():
    return build_task(n_train=48, n_held_out=11)


def test_probes_cover_exactly_their_words(task):
    for story, row, probes in zip(task.held_out, task.held_out_rows, task.probes, strict=True):
        for probe, (skill, ranks) in zip(story.probes, probes, strict=True):
            assert skill == probe.skill
            words = task.tokenizer.decode([row[rank] for rank in ranks])
            known = task.tokenizer.decode(
                task.tokenizer.encode(story.text[probe.start : probe.end])
            )
            assert words == known


def test_oracle_is_the_floor_and_the_measure_of_everyone(task):
    oracle = oracle_score(task)
    assert oracle.kl == pytest.approx(0.0, abs=1e-9)
    expected = -sum(story.log_prob for story in task.held_out)
    assert oracle.nats == pytest.approx(expected / 11)
    assert oracle.perplexity == pytest.approx(np.exp(expected / task.n_held_out_tokens))
    model = KneserNeyModel(3, task.tokenizer.vocab_size, task.tokenizer.bos_id)
    model.fit(with_end(task.rows, task.tokenizer.eos_id))
    score = score_ngram(model, task)
    assert score.kl == pytest.approx(score.nats - oracle.nats)
    assert score.kl > 1


def test_seed_changes_training_stories_but_not_the_measure(task):
    other = build_task(n_train=48, n_held_out=11, seed=1)
    assert [story.text for story in other.held_out] == [story.text for story in task.held_out]
    assert other.rows != task.rows


def test_limited_context_forgets_what_lies_beyond():
    torch.manual_seed(0)
    model = llama(LlamaConfig(53, 32, 16, 2, 2), seed=3).eval()
    ids = torch.randint(53, (1, 13))
    with families.limited_context(model, (2, 1)):
        before = model(ids)[0, -1]
        for distance in range(13):  # distance au dernier jeton lu
            changed = ids.clone()
            changed[0, 12 - distance] = (changed[0, 12 - distance] + 1) % 53
            same = torch.allclose(model(changed)[0, -1], before, atol=1e-6)
            assert same == (distance > 3)
    assert not torch.allclose(model(ids)[0, -1], before, atol=1e-6)


def test_limited_context_wants_one_number_per_layer():
    model = llama(LlamaConfig(53, 32, 16, 2, 2))
    with (
        pytest.raises(ValueError, match="un nombre par bloc, soit 2"),
        families.limited_context(model, (1,)),
    ):
        pass


def test_unknown_family_is_refused():
    with pytest.raises(ValueError, match="n’est pas un réseau"):
        families.build_model(replace(TINY[1], family="cnn"), 53, 0)


def test_measures_are_written_and_resumed(tmp_path, monkeypatch):
    path = tmp_path / "mesures.json"
    monkeypatch.setattr(families, "SETTINGS", TINY)
    names, budget = [s.name for s in TINY], families.Budget(48, 11)
    tiny = replace(families.EXPERIMENT, settings=budget, names=names)
    assert replace(tiny, names=names[:2]).run([0], path) == 3  # et l’oracle
    first = tiny.load(path)["runs"]
    assert tiny.run([0], path) == 1
    second = tiny.load(path)["runs"]
    assert list(second) == ["oracle", *names]
    assert {name: second[name] for name in first} == first
    perplexities = [second[name]["0"]["perplexity"] for name in names]
    assert second["oracle"]["0"]["perplexity"] < min(perplexities)
    network = second["transformer"]["0"]
    assert network["curve"]["tokens"][-1] == network["tokens"]


def test_same_seed_same_network(task):
    results = [families.run(TINY[1], task, 5, progress=False)[1] for _ in range(2)]
    assert results[0]["kl"] == results[1]["kl"]
    assert results[0]["curve"] == results[1]["curve"]


def test_the_first_points_are_those_of_the_whole_training(task):
    whole = families.run(TINY[2], task, 5, progress=False)[1]["curve"]
    start = families.run(TINY[2], task, 5, progress=False, n_points=2)[1]
    assert start["curve"] == {name: values[:2] for name, values in whole.items()}
    assert start["kl"] == start["curve"]["kl"][-1]


def test_shipped_settings_are_those_of_the_command():
    runs = families.load_results()["runs"]
    for name, setting in (families.TRIALS | {s.name: s for s in families.SETTINGS}).items():
        for run in runs[name].values():
            assert run["setting"] == json.loads(json.dumps(asdict(setting)))
