"""MinHash et la somme en anneau, dessinés : les nombres montrés sont ceux du calcul."""

import pytest
from test_widget_steps import texts

from course_lib.cleaning.minhash import jaccard
from course_lib.widgets import StepDiagram
from course_lib.widgets.training_steps import draw_numbers, minhash_frames, ring_frames, word_pairs

PAIR = ("Le chat dort sur le lit", "Le chat dort sur le toit")


def test_equal_minima_estimate_the_resemblance():
    """Sur beaucoup de tirages, la part des minima égaux est la ressemblance de `cleaning`."""
    draws = draw_numbers(*PAIR, 4000)
    low = [
        [min(draw[pair] for pair in word_pairs(sentence)) for draw in draws] for sentence in PAIR
    ]
    share = sum(a == b for a, b in zip(*low, strict=True)) / len(draws)
    assert share == pytest.approx(jaccard(*PAIR, size=2), abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_the_drawing_shows_the_minima_it_tells(seed):
    frames = minhash_frames(*PAIR, n_draws=5, seed=seed)
    assert len(StepDiagram(frames, title="MinHash").frames) == 7
    assert "4/6" in frames[0][1]
    last, caption = frames[-1]
    shown = texts(last)
    lows = [int(text) for text in shown if text.isdigit()]
    per_draw = [lows[8 * rank : 8 * rank + 8] for rank in range(5)]  # six numéros, deux minima
    agreed = 0
    for *numbers, first, second in per_draw:
        assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
        assert (first, second) == (min(numbers[:5]), min(numbers[:4] + numbers[5:]))
        agreed += first == second
    assert f"{agreed} places égales sur 5" in caption


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_ring_ends_with_every_sum_everywhere(n):
    parts = [[(5 * p + 3 * m) % 7 + 1 for m in range(n)] for p in range(n)]
    totals = [str(sum(column)) for column in zip(*parts, strict=True)]
    frames = ring_frames(parts)
    assert len(StepDiagram(frames, title="Anneau").frames) == 2 * (n - 1) + 2
    assert [text for text in texts(frames[-1][0]) if text.isdigit()] == totals * n
    assert f"{n - 1} + {n - 1} = {2 * (n - 1)} envois" in frames[-1][1]
    first = [text for text in texts(frames[0][0]) if text.isdigit()]
    assert first == [str(value) for part in parts for value in part]
