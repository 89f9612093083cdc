"""Le biais d’un pronom, à la main."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from course_lib.evaluation.bias import mean_absolute_bias, mean_interval, sharpen, signed_bias
from course_lib.generation import SamplingConfig, next_distribution


def test_bias_by_hand():
    shares = {"pilote": 0.1, "fleuriste": 0.9, "journaliste": 0.5}
    assert signed_bias(shares) == pytest.approx(
        {"pilote": -0.4, "fleuriste": 0.4, "journaliste": 0.0}
    )
    assert mean_absolute_bias(shares) == pytest.approx(0.8 / 3)
    assert mean_absolute_bias({"pilote": 0.0, "fleuriste": 1.0}) == 0.5


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.05, 3))
def test_sharpening_is_what_the_temperature_does(probability, temperature):
    logits = torch.tensor([probability, 1 - probability], dtype=torch.float64).log()
    reference = next_distribution(logits, SamplingConfig(temperature=temperature))[0]
    assert sharpen(probability, temperature) == pytest.approx(float(reference), abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 1))
def test_cooling_never_reduces_the_bias(probability, temperature):
    cooled = sharpen(probability, temperature)
    assert abs(cooled - 0.5) >= abs(probability - 0.5) - 1e-12
    assert sharpen(1 - probability, temperature) == pytest.approx(1 - cooled, abs=1e-9)


def test_sharpen_by_hand():
    assert sharpen(0.8, 0.5) == pytest.approx(0.64 / 0.68)
    assert [sharpen(p, 0) for p in (0.2, 0.5, 0.6)] == [0.0, 0.5, 1.0]
    assert sharpen(0.3, 1) == pytest.approx(0.3)
    assert sharpen(0.9, 1e-300) == 1.0


def test_interval_by_hand_and_against_scipy():
    mean, low, high = mean_interval([0.30, 0.32, 0.34])
    assert mean == pytest.approx(0.32)
    assert (
        high - mean
        == pytest.approx(mean - low)
        == pytest.approx(4.3027 * 0.02 / math.sqrt(3), rel=1e-4)
    )
    values = np.random.default_rng(0).normal(size=7).tolist()
    reference = ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_interval(values, 0.9)[1:] == pytest.approx((reference.low, reference.high))


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match="Aucun métier"):
        mean_absolute_bias({})
    with pytest.raises(ValueError, match=r"P\(elle \| pilote\) = 1.2 : une probabilité"):
        signed_bias({"pilote": 1.2})
    with pytest.raises(ValueError, match=r"Probabilité reçue : -0.1"):
        sharpen(-0.1, 1.0)
    with pytest.raises(ValueError, match="temperature = inf"):
        sharpen(0.4, math.inf)
    with pytest.raises(ValueError, match="1 valeur reçue : il en faut au moins 2"):
        mean_interval([0.3])
    with pytest.raises(ValueError, match="level = 95"):
        mean_interval([0.3, 0.4], 95)
