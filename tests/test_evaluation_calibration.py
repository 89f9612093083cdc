"""La calibration, à la main et face à scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from course_lib.evaluation.calibration import auroc, calibration_curve, calibration_error

probabilities = st.floats(0, 1, allow_nan=False)


def test_curve_and_error_by_hand():
    confidences, correct = [0.9, 0.8, 0.7, 0.3, 0.2], [True, True, False, False, True]
    low, high = calibration_curve(confidences, correct, n_bins=2)
    assert (low.count, low.confidence, low.accuracy) == (2, pytest.approx(0.25), 0.5)
    assert (high.count, high.confidence) == (3, pytest.approx(0.8))
    assert high.accuracy == pytest.approx(2 / 3)
    expected = 2 / 5 * abs(0.5 - 0.25) + 3 / 5 * abs(2 / 3 - 0.8)
    assert calibration_error(confidences, correct, n_bins=2) == pytest.approx(expected)
    assert expected == pytest.approx(0.18)


def test_bins_include_their_upper_bound():
    bins = calibration_curve([0.0, 0.5, 0.5000001, 1.0], [False, True, True, True], n_bins=2)
    assert [b.count for b in bins] == [2, 2]
    assert [(b.low, b.high) for b in bins] == [(0.0, 0.5), (0.5, 1.0)]
    empty = calibration_curve([0.9], [True], n_bins=3)[0]
    assert (empty.count, empty.confidence, empty.accuracy) == (0, None, None)


def test_error_vanishes_for_a_calibrated_model_and_not_for_a_boastful_one():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(size=50_021)
    correct = generator.uniform(size=50_021) < confidences
    assert calibration_error(confidences, correct) < 0.015
    assert calibration_error(np.full(50_021, 1.0), correct) == pytest.approx(1 - correct.mean())


@given(st.lists(st.tuples(probabilities, st.booleans()), min_size=1), st.integers(1, 13))
def test_curve_keeps_every_answer(pairs, n_bins):
    confidences, correct = zip(*pairs, strict=True)
    bins = calibration_curve(confidences, correct, n_bins)
    assert sum(b.count for b in bins) == len(pairs)
    for b in bins:
        if b.count:
            assert b.low - 1e-9 <= b.confidence <= b.high + 1e-9
    assert sum(b.count * b.accuracy for b in bins if b.count) == pytest.approx(sum(correct))
    assert 0 <= calibration_error(confidences, correct, n_bins) <= 1


def test_auroc_by_hand():
    # (0,9 contre 0,4 et 0,6) : 2 ; (0,5) : 1 ; (0,6) : 1 et une égalité.
    assert auroc([0.9, 0.5, 0.6], [0.4, 0.6]) == pytest.approx((2 + 1 + 1.5) / 6)
    assert auroc([1.0], [0.0]) == 1.0
    assert auroc([0.3, 0.3], [0.3]) == 0.5


@given(st.lists(probabilities, min_size=1), st.lists(probabilities, min_size=1))
def test_auroc_is_the_mann_whitney_statistic(first, second):
    reference = mannwhitneyu(first, second).statistic / (len(first) * len(second))
    assert auroc(first, second) == pytest.approx(reference)
    assert auroc(first, second) + auroc(second, first) == pytest.approx(1.0)


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match="d’au moins une réponse"):
        calibration_curve([], [])
    with pytest.raises(ValueError, match="deux listes de même longueur"):
        calibration_error([0.5, 0.6], [True])
    with pytest.raises(ValueError, match=r"entre -0.1 et 1.2 : ce doivent être des probabilités"):
        calibration_error([-0.1, 1.2], [True, False])
    with pytest.raises(ValueError, match="n_bins = 0"):
        calibration_error([0.5], [True], 0)
    with pytest.raises(ValueError, match="aucune n’est vide"):
        auroc([], [0.5])
    with pytest.raises(ValueError, match="NaN"):
        auroc([0.1], [float("nan")])
