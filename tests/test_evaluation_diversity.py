"""La part de n-grammes distincts, comptée à la main."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.evaluation.diversity import distinct_ngrams


def test_counted_by_hand():
    # Bigrammes : ab bc | ab bd : quatre, dont trois distincts.
    assert distinct_ngrams(["a b c", "a b d"], 2) == 3 / 4
    assert distinct_ngrams(["a b c d"]) == 1
    assert distinct_ngrams(["a b c d e"] * 7, 4) == 2 / 14


@given(st.lists(st.text("ab ", max_size=30), min_size=1, max_size=5), st.integers(1, 4))
def test_repeating_the_batch_divides_the_share(texts, n):
    if not any(len(text.split()) >= n for text in texts):
        with pytest.raises(ValueError, match=f"Aucun texte n’a {n} mots"):
            distinct_ngrams(texts, n)
        return
    share = distinct_ngrams(texts, n)
    assert 0 < share <= 1
    assert distinct_ngrams(texts * 3, n) == pytest.approx(share / 3)


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_impossible_sizes_are_refused(n):
    with pytest.raises(ValueError, match="entier d’au moins 1"):
        distinct_ngrams(["a b"], n)
