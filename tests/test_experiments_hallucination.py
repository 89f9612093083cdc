"""L’expérience des inventions : ce qu’elle enseigne, ce qu’elle mesure, ce qu’elle reprend."""

from dataclasses import replace

import pytest
import torch

from course_experiments import hallucination as lab
from course_experiments.records import load_records
from course_lib.corpora.microworld import biographies as bio

TINY = lab.Budget(
    n_known=23,
    n_unknown=5,
    n_refused=7,
    n_steps=11,
    batch_size=8,
    n_frequency_people=12,
    frequency_batch_size=32,
    d_model=16,
)


@pytest.fixture(scope="module")
def world():
    return bio.build_world(20, 5, 7)


@pytest.fixture(scope="module")
def trained():
    return lab.train_with_lessons("narrow", 0, TINY, progress=False)


@pytest.mark.parametrize(
    ("name", "asked", "refused"),
    [("none", 40, 0), ("narrow", 40, 7), ("wide", 72, 7), ("by_fact", 40, 7)],
)
def test_lessons_are_what_they_say(world, name, asked, refused):
    lessons = lab.LESSONS[name](world)
    assert lessons.told == bio.every_fact(world.known)
    assert (len(lessons.asked), len(lessons.refused)) == (asked, refused)
    assert set(lessons.asked) <= set(lessons.told)
    groups = lab.fact_groups(name, world)
    assert set(groups["asked"]) == set(lessons.asked)
    assert not set(groups["asked"]) & set(groups["never_asked"])
    assert len(groups["asked"]) + len(groups["never_asked"]) == 80


def test_every_known_person_is_asked_about_half_their_facts(world):
    asked = lab.LESSONS["by_fact"](world).asked
    assert {sum(p is person for p, _ in asked) for person in world.known} == {2}
    assert {attribute for _, attribute in asked} == set(bio.ATTRIBUTES)


def test_answers_are_read_in_the_distribution_of_the_next_word(trained):
    model, tokenizer, world = trained
    person, kind = world.known[0], "question"
    answers = lab.answer_facts(model, tokenizer, [(person, "city")], kind)
    ids = [tokenizer.bos_id, *tokenizer.encode(bio.prompt(person, "city", kind))]
    with torch.no_grad():
        probabilities = model(torch.tensor([ids]))[0, -1].softmax(-1)
    words = {token: float(probabilities[i]) for token, i in tokenizer.token_to_id.items()}
    found = answers.means()
    assert found["right"] == pytest.approx(words[person.city], abs=1e-6)
    assert found["answered"] == pytest.approx(sum(words[c] for c in bio.CITIES), abs=1e-6)
    assert found["refused"] == pytest.approx(words["je"], abs=1e-6)
    assert found["confidence"] == pytest.approx(max(words.values()), abs=1e-6)


@pytest.mark.parametrize("kind", bio.KINDS)
def test_greedy_answers_are_the_limit_of_cold_ones(trained, kind):
    model, tokenizer, world = trained
    facts = bio.every_fact(world.known[:4])
    cold, greedy = (lab.answer_facts(model, tokenizer, facts, kind, t) for t in (1e-4, 0.0))
    assert cold.means() == pytest.approx(greedy.means(), abs=1e-3)
    assert greedy.right.tolist() == greedy.correct.tolist()


def test_confidence_counts_an_avowed_ignorance_as_right():
    def answers(confidence, correct, refused):
        confidence = torch.tensor(confidence)
        zeros = torch.zeros(len(confidence))
        return lab.Answers(zeros, zeros, torch.tensor(refused), confidence, torch.tensor(correct))

    known = answers([0.9, 0.7], [True, False], [0.0, 0.0])
    unknown = answers([0.75, 0.95], [False, False], [0.1, 0.95])
    found = lab.compare_confidence(known, unknown)
    assert found["auroc"] == pytest.approx(1 / 4)
    assert found["unknown_above_90"] == 0.5
    # Une réponse par tranche : 0,7 et 0,75 fausses, 0,9 juste, 0,95 pour un refus, donc juste.
    assert found["calibration_error"] == pytest.approx((0.7 + 0.75 + 0.1 + 0.05) / 4, abs=1e-6)


@pytest.mark.slow
def test_a_model_that_learned_long_enough_knows_and_still_invents():
    budget = lab.Budget(
        n_known=6,
        n_unknown=20,
        n_refused=0,
        n_steps=250,
        batch_size=16,
        d_model=32,
        learning_rate=1e-2,
    )
    model, tokenizer, world = lab.train_with_lessons("none", 0, budget, progress=False)
    known = lab.answer_facts(model, tokenizer, bio.every_fact(world.known), temperature=0.0)
    unknown = lab.answer_facts(model, tokenizer, bio.every_fact(world.unknown), temperature=0.0)
    assert known.means()["right"] > 0.9
    assert unknown.means()["answered"] > 0.8 > 0.3 > unknown.means()["right"]


@pytest.mark.slow
def test_measures_are_written_and_resumed(tmp_path, capsys):
    path, calls = tmp_path / "mesures.json", []
    tiny = replace(
        lab.EXPERIMENT,
        settings=TINY,
        measure=lambda n, s, b: calls.append(n) or lab.measure(n, s, b),
    )
    assert tiny.main(["--seeds", "0", "--output", str(path)]) == 0
    assert calls == [*lab.LESSONS, "frequency"]
    first = load_records(path)
    groups = first["runs"]["narrow"]["0"]["question"]
    assert set(groups) == {"asked", "never_asked", "unknown", "refused", "confidence"}
    assert groups["unknown"]["facts"] == 20
    assert sum(part["count"] for part in groups["confidence"]["curve"]) == 40
    counts = first["runs"]["frequency"]["0"]
    assert [counts[str(n)]["facts"] for n in lab.COUNTS] == [8] * 6
    tiny.main(["--seeds", "0", "--output", str(path)])
    assert len(calls) == 5 and load_records(path) == first
    printed = capsys.readouterr().out
    assert "5 mesures ajoutées" in printed and "Rien à mesurer" in printed
