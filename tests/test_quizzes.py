"""Les quiz des chapitres : chaque choix est expliqué, et rien dans la forme ne dit le bon."""

import ast
import math
from collections import Counter
from pathlib import Path

import pytest
from test_exercise_cells import cells_of

from course_lib.widgets.quiz import Choice, Question

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "chapters").glob("0[0-8]_*.md"))


def questions(source: Path) -> list[Question]:
    """Les questions d’un chapitre, lues dans la cellule qui finit par `Quiz([…])`."""
    codes = [code for code, _ in cells_of(source.read_text("utf-8")) if "\nQuiz(" in f"\n{code}"]
    assert len(codes) == 1, f"{source.name} : {len(codes)} quiz"
    call = ast.parse(codes[0]).body[-1].value
    listed = compile(ast.Expression(call.args[0]), source.name, "eval")
    return eval(listed, {"Choice": Choice, "Question": Question})


def right(question: Question) -> int:
    return [choice.correct for choice in question.choices].index(True)


def length_ratio(question: Question) -> float:
    """Longueur de la bonne réponse, rapportée à la plus longue des autres."""
    lengths = [len(choice.text) for choice in question.choices]
    return lengths.pop(right(question)) / max(lengths)


ALL = {source.stem: questions(source) for source in SOURCES}


@pytest.mark.parametrize("name", ALL)
def test_every_choice_is_explained_in_its_own_words(name):
    for question in ALL[name]:
        texts = [choice.text for choice in question.choices]
        explanations = [choice.feedback for choice in question.choices]
        assert all(len(text.split()) >= 3 for text in explanations), question.prompt
        assert len(set(texts)) == len(texts) and len(set(explanations)) == len(texts)


@pytest.mark.parametrize("name", ALL)
def test_the_place_of_the_right_answer_tells_nothing(name):
    """Sans JavaScript, l’ordre est celui de la source."""
    places = Counter(map(right, ALL[name]))
    assert max(places.values()) <= math.ceil(len(ALL[name]) / 2)
    assert len(places) >= 3, "la bonne réponse n’est jamais à l’une des trois places"


@pytest.mark.parametrize("name", ALL)
def test_the_length_of_the_right_answer_tells_nothing(name):
    ratios = [length_ratio(question) for question in ALL[name]]
    assert max(ratios) <= 1.25
    assert sum(ratio > 1 for ratio in ratios) <= math.ceil(len(ratios) / 2)


def test_over_the_book_no_place_and_no_length_pays():
    """Qui choisirait toujours la même place, ou la plus longue, n’y gagnerait presque rien."""
    asked = [question for found in ALL.values() for question in found]
    places = Counter(map(right, asked))
    assert all(0.25 <= places[place] / len(asked) <= 0.42 for place in range(3)), places
    longest = sum(length_ratio(question) > 1 for question in asked)
    assert longest / len(asked) <= 0.42
