"""Les schémas du chapitre 00 : leurs nombres se refont à la main et par la bibliothèque."""

import math

import pytest

from course_lib.tokenization import BPETokenizer
from course_lib.widgets.token_steps import merge_frames, prediction_frames, weld

WORDS = {"port": 3, "porte": 2, "porter": 1, "sort": 1}


def test_weld_joins_every_occurrence_of_the_pair():
    assert weld("banane", ("a", "n")) == ["b", "an", "an", "e"]
    assert weld(["a", "a", "a"], ("a", "a")) == ["aa", "a"]
    assert weld("ab", ("b", "a")) == ["a", "b"]


def test_the_merges_shown_are_those_of_the_tokenizer():
    frames = merge_frames(WORDS, 4, "sorte")
    corpus = [word for word, count in WORDS.items() for _ in range(count)]
    tokenizer = BPETokenizer.train(corpus, vocab_size=263)
    assert len(frames) == 5
    for (_, caption), pair in zip(frames, tokenizer.merges, strict=False):
        assert f"« {pair[0] + pair[1]} »" in caption
    pieces = [tokenizer.tokens[token_id] for token_id in tokenizer.encode("sorte")]
    assert all(f"« {piece} »" in frames[-1][1] for piece in pieces)
    assert "7 fois" in frames[0][1] and "à égalité" in frames[0][1]


def test_the_prediction_shown_is_the_one_computed_by_hand():
    table, head = [[0, -1], [1, 2]], [[2, -1], [0, 1]]
    frames = prediction_frames(["le", "chat"], table, head, "chat", "le")
    scores = [2 * 1 - 1 * 2, 1 * 2]
    share = math.exp(scores[0]) / sum(map(math.exp, scores))
    captions = [caption for _, caption in frames]
    assert "ligne 1" in captions[0] and "2 × 1 + -1 × 2" in captions[1].replace("−", "-")
    assert f"{share:.3f}".replace(".", ",") in captions[-1]
    assert f"{-math.log(share):.2f}".replace(".", ",") in captions[-1]
    assert len({drawing.height for drawing, _ in frames}) == 1


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="loup"):
        prediction_frames(["le"], [[0, 0]], [[0, 0]], "loup", "le")
