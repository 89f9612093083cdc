"""L’expérience du chapitre 00 : ce qu’elle mesure, ce qu’elle limite, ce qu’elle reprend."""

import json
from dataclasses import replace

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
        pytest.raises(ValueError, match="un nombre par étage, soit 2"),
        families.limited_context(model, (1,)),
    ):
        pass


def test_unknown_family_is_refused():
    with pytest.raises(ValueError, match="n’est pas un réseau"):
        families.build_model(replace(TINY[1], family="cnn"), 53, 0)


def test_measures_are_written_and_resumed(tmp_path, monkeypatch):
    path = tmp_path / "mesures.json"
    first = families.measure(TINY[:2], [0], "runs", "test", path, 48, 11)
    calls = []
    original = families.run
    monkeypatch.setattr(
        families, "run", lambda s, *rest: calls.append(s.name) or original(s, *rest)
    )
    second = families.measure(TINY, [0], "runs", "test", path, 48, 11)
    assert calls == ["transformer"]
    assert second["runs"][:2] == first["runs"] == json.loads(path.read_text("utf-8"))["runs"][:2]
    assert second["oracle"]["perplexity"] < min(run["perplexity"] for run in second["runs"])
    curve = second["runs"][2]["curve"]
    assert curve["tokens"][-1] == second["budget"]["tokens"]["0"]


def test_same_seed_same_network(task):
    results = [families.run(TINY[1], task, 5, progress=False)[1] for _ in range(2)]
    assert results[0]["kl"] == results[1]["kl"]
    assert results[0]["curve"] == results[1]["curve"]


def test_the_first_points_are_those_of_the_whole_training(task):
    whole = families.run(TINY[2], task, 5, progress=False)[1]["curve"]
    start = families.run(TINY[2], task, 5, progress=False, n_points=2)[1]
    assert start["curve"] == {name: values[:2] for name, values in whole.items()}
    assert start["kl"] == start["curve"]["kl"][-1]


def test_shipped_measures_match_the_command():
    results = families.load_results()
    expected = {json.dumps(json.loads(json.dumps(s.__dict__))) for s in families.SETTINGS}
    assert {json.dumps(run["setting"]) for run in results["runs"]} == expected
    assert {run["seed"] for run in results["runs"]} == {0, 1, 2}
