"""Un jeton à travers le Transformer : les mots, les parts, les probabilités du schéma."""

from xml.etree import ElementTree

import pytest

from course_lib.widgets import StepDiagram
from course_lib.widgets.transformer_steps import SHOWN, Passage, token_frames

WORDS = ["début", "Il", "était", "une"]
PASSAGES = [
    Passage("plongement", "« une » est un numéro.", [0.5, -1.0] * 16),
    Passage("attention 1", "Il lit « était ».", [0.1] * 32, [0.05, 0.05, 0.7, 0.2]),
]


def shapes(drawing, tag):
    """Les formes d’une sorte, lues comme du XML."""
    return [n for n in ElementTree.fromstring(drawing.svg()).iter() if n.tag == tag]


def texts(drawing):
    return [node.text or "" for node in shapes(drawing, "text")]


def test_the_token_goes_from_its_row_to_its_probabilities():
    frames = token_frames(WORDS, PASSAGES, [("fois", 0.83), ("souris", 0.1)])
    assert len(frames) == 3
    for drawing, _ in frames:
        assert {*WORDS, "plongement", "attention 1", "tête de sortie"} <= set(texts(drawing))
    assert "83\u00a0%" not in texts(frames[1][0]) and "83\u00a0%" in texts(frames[2][0])
    assert "« fois »" in frames[2][1]
    assert StepDiagram(frames, title="Un jeton").fallback_html().count("<li>") == 3


def test_a_vector_is_drawn_number_by_number():
    (first, _), (second, _), _ = token_frames(WORDS, PASSAGES, [("fois", 1.0)])
    bars = [n for n in shapes(first, "rect") if n.get("rx") == "2"]
    assert len(bars) == SHOWN
    heights = [float(n.get("height")) for n in bars[:2]]
    assert heights[1] == pytest.approx(2 * heights[0])
    tops = [float(n.get("y")) for n in bars[:2]]
    assert tops[0] + heights[0] == pytest.approx(tops[1])  # l’un monte de l’axe, l’autre en descend
    assert len([n for n in shapes(second, "rect") if n.get("rx") == "2"]) == SHOWN + len(WORDS)


def test_the_shares_are_under_their_words():
    _, (drawing, _), _ = token_frames(WORDS, PASSAGES, [("fois", 1.0)])
    shown = [text for text in texts(drawing) if text.endswith("%")]
    assert shown == ["70\u00a0%", "20\u00a0%"]  # les très petites parts n’ont que leur barre


def test_an_attention_needs_one_share_a_word():
    with pytest.raises(ValueError, match="1 poids pour 4 mots dans « x » : donnez-en un par mot"):
        token_frames(WORDS, [Passage("x", "", [0.0], [1.0])], [("fois", 1.0)])
