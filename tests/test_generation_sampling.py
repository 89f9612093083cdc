"""Les réglages du tirage : contre leur définition, et contre les filtres de `transformers`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers.generation import logits_process as reference

from course_lib.generation import SamplingConfig, next_distribution
from course_lib.generation.sampling import draw

PROBABILITIES = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2])  # rangs : 1, 3, 4, 2, 0
LOGITS = PROBABILITIES.log() + 2.7  # une constante n’y change rien
SETTINGS = st.builds(
    SamplingConfig,
    temperature=st.floats(0.05, 5.0),
    top_k=st.none() | st.integers(1, 40),
    top_p=st.none() | st.floats(0.01, 1.0),
    min_p=st.none() | st.floats(0.0, 1.0),
    repetition_penalty=st.floats(0.3, 3.0),
)


def random_logits(seed: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(3, 29, generator=generator, dtype=torch.float64)


def reference_distribution(logits, sampling, previous_ids):
    """La chaîne de filtres de `transformers`, dans l’ordre de sa méthode `generate`."""
    chain = [
        reference.RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)),
        reference.TemperatureLogitsWarper(float(sampling.temperature)),
    ]
    if sampling.top_k is not None:
        chain.append(reference.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        chain.append(reference.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p is not None:
        chain.append(reference.MinPLogitsWarper(sampling.min_p))
    for step in chain:
        logits = step(torch.tensor(previous_ids), logits)
    return logits.softmax(dim=-1)


@given(st.integers(0, 10_000), st.floats(0.1, 20.0), SETTINGS, st.data())
def test_equals_transformers(seed, scale, sampling, data):
    row = st.lists(st.integers(0, 28), min_size=4, max_size=4)
    previous = data.draw(st.lists(row, min_size=3, max_size=3))
    logits = random_logits(seed, scale)
    actual = next_distribution(logits, sampling, previous)
    assert_close(actual, reference_distribution(logits, sampling, previous))
    assert_close(actual.sum(dim=-1), torch.ones(3, dtype=torch.float64))
    assert_close(next_distribution(logits[1], sampling, previous[1]), actual[1])


@pytest.mark.parametrize(
    "sampling, expected",
    [
        (SamplingConfig(), PROBABILITIES),
        (SamplingConfig(temperature=0), [0, 1, 0, 0, 0]),
        (SamplingConfig(temperature=0.5), PROBABILITIES**2 / (PROBABILITIES**2).sum()),
        (SamplingConfig(top_k=1), [0, 1, 0, 0, 0]),
        (SamplingConfig(top_k=2), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]),
        (SamplingConfig(top_k=99), PROBABILITIES),
        (SamplingConfig(top_p=0.01), [0, 1, 0, 0, 0]),
        (SamplingConfig(top_p=0.6), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]),
        (SamplingConfig(top_p=0.7), [0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85]),
        (SamplingConfig(top_p=1.0), PROBABILITIES),
        (SamplingConfig(min_p=0.55), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]),
        (SamplingConfig(min_p=0.0), PROBABILITIES),
    ],
)
def test_definitions(sampling, expected):
    expected = torch.as_tensor(expected, dtype=torch.float32)
    assert_close(next_distribution(LOGITS, sampling), expected)


def test_repetition_penalty_divides_or_multiplies():
    logits = torch.tensor([2.0, -1.0, 3.0])
    sampling = SamplingConfig(repetition_penalty=4.0)
    expected = torch.tensor([0.5, -4.0, 3.0]).softmax(0)
    assert_close(next_distribution(logits, sampling, [0, 1, 0]), expected)
    with pytest.raises(ValueError, match="donnez previous_ids"):
        next_distribution(logits, sampling)


def test_tiny_temperature_is_greedy():
    for logits in (random_logits(0).float(), 1000 * random_logits(1).float()):
        cold = next_distribution(logits, SamplingConfig(temperature=1e-30))
        assert_close(cold, next_distribution(logits, SamplingConfig(temperature=0)))


def test_draw_follows_the_segments():
    probabilities = torch.tensor([[0.0, 0.5, 0.0, 0.25, 0.25, 0.0]])
    uniforms = [0.0, 0.499, 0.5, 0.7499, 0.75, math.nextafter(1.0, 0.0)]
    drawn = [int(draw(probabilities, torch.tensor([u], dtype=torch.float64))[0]) for u in uniforms]
    assert drawn == [1, 1, 3, 3, 4, 4]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"temperature": -0.1}, "temperature = -0.1 .* Donnez 0"),
        ({"temperature": math.nan}, "temperature = nan"),
        ({"temperature": math.inf}, "temperature = inf"),
        ({"top_k": 0}, "top_k = 0 .* entier d’au moins 1"),
        ({"top_k": 2.5}, "top_k = 2.5"),
        ({"top_p": 0.0}, r"top_p = 0.0 .* \]0, 1\]"),
        ({"top_p": 1.5}, "top_p = 1.5 .* Donnez None"),
        ({"min_p": -0.2}, r"min_p = -0.2 .* \[0, 1\]"),
        ({"min_p": 1.2}, "min_p = 1.2"),
        ({"repetition_penalty": 0.0}, "repetition_penalty = 0.0 .* Donnez 1"),
        ({"repetition_penalty": math.inf}, "repetition_penalty = inf"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**settings)
