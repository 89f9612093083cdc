"""La recherche : BM25 égal à celui de `rank_bm25`, ses égalités, ses refus, son schéma."""

import json
import math
from pathlib import Path

import pytest

from course_lib.retrieval import BM25, words_of
from course_lib.widgets.retrieval_steps import CARDS, QUESTION, retrieval_frames

# Écrit par rank_bm25 0.2.2 ; aucun mot des questions n’y est dans plus de la moitié des textes.
REFERENCE = json.loads((Path(__file__).parent / "rank_bm25_reference.json").read_text("utf-8"))


def test_scores_equal_those_of_rank_bm25():
    search = BM25(REFERENCE["texts"])
    for question, expected in zip(REFERENCE["questions"], REFERENCE["scores"], strict=True):
        assert search.scores(question) == pytest.approx(expected, abs=1e-8)


def test_a_score_by_hand():
    """Deux textes de deux mots sur cinq : longueur moyenne 2, le mot cherché est dans un seul."""
    search = BM25(["chat noir", "chien noir", "un oiseau", "le loup", "ma poule"])
    weight = math.log(4.5 / 1.5)
    assert search.weight("chat") == pytest.approx(weight)
    assert search.scores("Chat !")[0] == pytest.approx(weight * 1 * 2.5 / (1 + 1.5))
    assert search.scores("Chat !")[1:] == [0, 0, 0, 0]


def test_a_word_of_more_than_half_the_texts_says_nothing():
    search = BM25(["le chat", "le chien", "un loup"])
    assert search.weight("le") == 0 < search.weight("loup")


def test_a_repeated_word_is_worth_less_and_less_and_length_costs():
    others = list("bcdefg")
    search = BM25(["a x x x", "a a x x", "a a a x", *others, "a z z z z z z"])
    once, twice, thrice, *_, long = search.scores("a")
    assert 0 < long < once and thrice - twice < twice - once


def test_a_tie_keeps_the_order_of_the_texts():
    search = BM25(["Léa Morin, Lyon.", "Léa Morin, Lille.", "Zoé.", "Adam.", "Hugo."])
    assert search.best("Léa Morin", 2) == [0, 1]


def test_words_are_read_without_case_or_punctuation():
    assert words_of("Où habite Léa ?") == ["où", "habite", "léa"]


@pytest.mark.parametrize("texts", [[], ["", "… !"]])
def test_nothing_to_search_is_refused(texts):
    with pytest.raises(ValueError, match="aucun mot : il faut au moins un texte à chercher"):
        BM25(texts)


@pytest.mark.parametrize("n", [0, 3])
def test_too_many_texts_are_refused(n):
    with pytest.raises(ValueError, match=f"n = {n} : demandez de 1 à 2 textes"):
        BM25(["a", "b"]).best("a", n)


def test_the_diagram_shows_the_best_card():
    frames = retrieval_frames()
    best = BM25(CARDS).best(QUESTION)[0]
    assert len(frames) == 4 and CARDS[best].startswith("Léa Morin")
    assert "Lyon" in frames[-1][1] and "Lyon" in frames[-1][0].svg()
    assert all(QUESTION[:-2] in drawing.alt for drawing, _ in frames)
