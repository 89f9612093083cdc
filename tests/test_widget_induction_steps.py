"""Retrouver un mot en deux lectures : ce que montre chaque dessin du schéma."""

from xml.etree import ElementTree

import pytest

from course_lib.widgets import StepDiagram
from course_lib.widgets.induction_steps import induction_frames

WORDS = ["bif", "lune", "dof", "sel", "bif"]


def texts(drawing):
    root = ElementTree.fromstring(drawing.svg())
    return [node.text or "" for node in root.iter() if node.tag == "text"]


def test_notes_come_first_and_the_answer_last():
    first, notes, search, answer = (drawing for drawing, _ in induction_frames(WORDS))
    assert "après" not in texts(first) and texts(notes).count("après") == 2
    assert any("qui vient après" in text for text in texts(search))
    assert texts(answer).count("lune") == 2 and "?" not in texts(answer)
    assert texts(search).count("lune") == 1 and "?" in texts(search)


def test_it_makes_a_step_diagram():
    shown = StepDiagram(induction_frames(WORDS), title="Retrouver un mot").fallback_html()
    assert shown.count("<li>") == 4 and "«\u00a0lune\u00a0»" in shown


@pytest.mark.parametrize("words", [["bif", "lune", "bif", "sel"], ["bif", "lune", "zan"]])
def test_words_must_be_pairs_then_a_key(words):
    with pytest.raises(ValueError, match=r"Mots reçus : bif lune .* puis l’une des clés"):
        induction_frames(words)
