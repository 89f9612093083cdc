"""L’expérience des trois publics : ce qu’elle donne à lire, mesure et reprend."""

from dataclasses import replace

import numpy as np
import pytest

from course_experiments import audience_measures as measures
from course_experiments import audiences
from course_lib.corpora.microworld.audiences import (
    AUDIENCES,
    NEUTRAL_TAG,
    generate_audience_texts,
    read,
    tag,
)
from course_lib.training import IGNORE


@pytest.fixture(scope="module")
def tokenizer():
    return audiences.train_tokenizer(20)


@pytest.fixture(scope="module")
def written():
    return {name: generate_audience_texts(23, name, "test") for name in AUDIENCES}


def test_the_loss_covers_the_text_and_not_the_sheet(tokenizer):
    task = audiences.build_task(40, 3, tokenizer)
    labels = []
    for inputs, targets in zip(task.inputs, task.targets, strict=True):
        n_given = sum(target == IGNORE for target in targets)
        prompt = tokenizer.decode(inputs[1 : n_given + 1])
        text = tokenizer.decode([t for t in targets if t != IGNORE], skip_special_tokens=True)
        labels.append(prompt.rsplit(" ", 1)[1])
        audience, _ = read(text.strip())
        assert prompt.startswith("héros : ") and targets[-1] == tokenizer.eos_id
        assert labels[-1] in (NEUTRAL_TAG, tag(audience))
    assert set(labels) == {NEUTRAL_TAG, *map(tag, AUDIENCES)}


def test_grammar_texts_are_judged_perfect(written):
    texts = {name: [t.text for t in each] for name, each in written.items()}
    facts = [t.facts for t in written["enfant"]]
    for name in AUDIENCES:
        found = measures.examine(texts[name], facts, frozenset(), name)
        assert found["well_formed"] == found["all_facts"] == 1.0
        assert found["audiences"] == {name: 23}
        assert found["style"]["outside_child_words"]["mean"] == 1.0
    swap = measures.swap_effect(texts)
    assert swap["same_facts"] == 1.0
    assert swap["enfant-adulte"]["ordered"] == swap["adulte-expert"]["ordered"] == 1.0


def test_errors_of_a_writer_are_seen(written):
    texts = [t.text for t in written["adulte"]]
    facts = [t.facts for t in written["adulte"]]
    shifted = facts[1:] + facts[:1]
    assert measures.examine(texts, shifted, frozenset(), "adulte")["all_facts"] == 0.0
    assert measures.examine(texts, facts, frozenset(), "expert")["well_formed"] == 0.0
    broken = measures.examine(["", *texts[1:]], facts, frozenset(), "adulte")
    assert broken["well_formed"] == broken["all_facts"] == pytest.approx(22 / 23)
    assert broken["audiences"]["illisible"] == 1
    sad = replace(facts[0], happy=not facts[0].happy)
    kept = measures.shares_kept(texts[0], sad)
    assert [name for name, value in kept.items() if not value] == ["happy"]


def test_swap_ignores_pairs_that_cannot_be_compared(written):
    texts = {name: [t.text for t in each] for name, each in written.items()}
    texts["expert"][0] = ""
    swap = measures.swap_effect(texts)
    assert swap["same_facts"] == pytest.approx(22 / 23)
    assert swap["adulte-expert"]["ordered"] == 1.0


def test_margin_and_most_frequent_by_hand(written):
    assert measures.mean_and_margin([1.0, 3.0]) == {"mean": 2.0, "margin": 1.96}
    assert measures.mean_and_margin([1.0]) == {"mean": None, "margin": None}
    facts = [t.facts for t in written["enfant"]]
    shares = measures.most_frequent(facts, facts)
    assert shares["happy"] == pytest.approx(
        max(np.mean([f.happy for f in facts]), 1 - shares["happy"])
    )
    assert shares["hero"] < 0.5


@pytest.mark.slow
def test_measures_are_written_and_resumed(tmp_path, monkeypatch, tokenizer):
    monkeypatch.setattr(audiences, "N_CURVE", 2)
    monkeypatch.setattr(audiences, "MAX_NEW_TOKENS", 5)
    monkeypatch.setattr(audiences, "tokenizer", lambda: tokenizer)
    size = {"vocab_size": tokenizer.vocab_size, "d_model": 8, "n_layers": 1, "n_heads": 2}
    budget = audiences.Budget(texts=24, test_sheets=4, **size)
    path, tiny = tmp_path / "mesures.json", replace(audiences.EXPERIMENT, settings=budget)
    assert tiny.run([0], path) == 1
    first = tiny.load(path)["runs"]["petit modèle"]
    assert tiny.run([0, 1], path) == 1
    second = tiny.load(path)["runs"]["petit modèle"]
    assert list(second) == ["0", "1"] and second["0"] == first["0"]
    run = second["1"]
    assert run["curve"]["texts"] == [8, 16, 24]
    assert set(run["kl"]) == set(run["model"]) == set(run["ngram"]) == set(AUDIENCES)
    assert run["model"]["enfant"]["well_formed"] == 0.0  # un modèle qui n’a rien appris


def test_shipped_measures_say_what_the_course_says():
    """Chaque public a sa langue, les faits restent ; le n-gramme n’en garde aucun ensemble."""
    for run in audiences.load_results()["runs"]["petit modèle"].values():
        score = {a: run["model"][a]["style"]["kandel_moles"]["mean"] for a in AUDIENCES}
        assert score["enfant"] > score["adulte"] > score["expert"]
        for name in AUDIENCES:
            assert run["ngram"][name]["all_facts"] == 0.0
            assert run["model"][name]["all_facts"] > 0.75
            assert run["greedy"][name]["all_facts"] > 0.95
