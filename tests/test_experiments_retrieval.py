"""Les fiches et les vraies questions : ce qu’on enseigne, ce qu’on compte, ce que dit le relevé."""

from dataclasses import replace

import pytest
import torch

from course_experiments import reading_more, real_questions, retrieval
from course_experiments.records import load_records
from course_experiments.romancier import size_law
from course_lib.corpora.microworld.biographies import REFUSAL, build_world, every_fact
from course_lib.corpora.microworld.cards import card, card_prompt

TINY = retrieval.Budget(
    n_known=20, n_unknown=6, n_card_people=12, n_steps=3, batch_size=8, d_model=16
)


@pytest.fixture(scope="module")
def world():
    return build_world(20, 6, 12)


def test_a_card_says_the_four_facts(world):
    person = world.known[0]
    facts = (person.city, person.trade, person.birth_year, person.pet)
    assert card(person) == f"{person.name}, {', '.join(facts)}."
    assert card_prompt(card(person), person, "city") == (
        f"Fiche : {card(person)} Où habite {person.name} ? Réponse :"
    )


@pytest.mark.parametrize(("name", "expected"), [("confiant", 0.0), ("prudent", 0.25)])
def test_lessons_refuse_the_card_of_another_and_only_that(world, name, expected):
    lessons = retrieval.card_lessons(world.refused, 600, retrieval.OTHER_SHARE[name], 0)
    refused = [truth == REFUSAL for _, truth in lessons]
    assert sum(refused) / 600 == pytest.approx(expected, abs=0.06)
    for (asked, truth), silent in zip(lessons, refused, strict=True):
        shown, question = asked.split(". ", 1)
        name = shown.removeprefix("Fiche : ").split(",")[0]
        assert (name in question) is not silent
        assert silent or truth in shown


def test_facts_are_drawn_anew_so_nothing_is_learned_by_heart(world):
    lessons = retrieval.card_lessons(world.refused[:1], 200, 0.0, 0)
    assert len({asked.split(".")[0] for asked, _ in lessons}) > 150


def test_the_judge_tells_copied_invented_and_right_answers(world, monkeypatch):
    """Un lecteur qui recopie toujours la ville de la fiche."""
    person, other = world.known[0], next(p for p in world.known if p.city != world.known[0].city)
    cities = [person.city, other.city]

    class Words:
        def decode(self, ids):
            return cities[ids[0]]

    monkeypatch.setattr(retrieval, "next_words", lambda *_: torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    found = retrieval.judge(None, Words(), [(person, "city")] * 2, [person, other])
    assert found["from_card"] == 1 and found["right"] == found["invented"] == 0.5
    assert found["confidence"] == pytest.approx(0.8) and found["refused"] == 0


def test_the_search_finds_the_card_of_whoever_has_one(world):
    library = retrieval.library_of(world)
    assert library == (*world.known, *world.unknown[::2])
    facts = every_fact(world.unknown[::2])
    found = retrieval.found_cards(library, facts)
    assert [f.name for f in found] == [p.name for p, _ in facts]


@pytest.mark.slow
def test_measures_are_written(tmp_path):
    path = tmp_path / "a.json"
    tiny = replace(retrieval.EXPERIMENT, settings=TINY, names=["prudent"])
    assert tiny.main(["--seeds", "0", "--output", str(path)]) == 0
    run = load_records(path)["runs"]["prudent"]["0"]
    assert set(run) == {"known", "with_card", "without_card", "outdated", "cpu_seconds"}
    assert run["with_card"]["facts"] == 12 and run["without_card"]["found"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I don't know.",
        "I’m not aware of any such city.",
        "Velmora is a fictional country.",
        "Orvanium does not exist.",
    ],
)
def test_an_avowal_is_recognised(text):
    assert real_questions.avows(text)


@pytest.mark.parametrize("text", ["The capital is Paris.", "He noted that nobody came."])
def test_an_answer_is_not_an_avowal(text):
    assert not real_questions.avows(text)


def test_real_and_invented_questions_are_as_many_and_distinct():
    asked = [question for found in real_questions.QUESTIONS.values() for question, _ in found]
    assert len(real_questions.REAL) == len(real_questions.INVENTED) == 20
    assert len(set(asked)) == 40


def test_the_plans_are_those_of_the_size_law():
    law = size_law.load_results()["runs"]
    for name in reading_more.PLANS:
        assert len(reading_more.losses(name, law)) == len(reading_more.training_seconds(name, law))
    with pytest.raises(KeyError):
        reading_more.losses("inconnu", law)
