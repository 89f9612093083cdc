"""Les réglages du tirage : contre leur définition, et contre les filtres de `transformers`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers.generation import logits_process as reference

from course_lib.generation import SamplingConfig, next_distribution
from course_lib.generation.sampling import draw, keep_top_k, keep_top_p

PROBABILITIES = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2])  # rangs : 1, 3, 4, 2, 0
LOGITS = PROBABILITIES.log() + 2.7  # une constante n’y change rien
SETTINGS = st.builds(
    SamplingConfig,
    temperature=st.floats(0.05, 5.0),
    top_k=st.none() | st.integers(1, 40),
    # Entre 0,999 et 1, la coupe porte sur des masses de l’ordre des arrondis, qui diffèrent.
    top_p=st.none() | st.floats(0.01, 0.999) | st.just(1.0),
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


@pytest.mark.parametrize("temperature", [1e-30, 1e-38, 1e-44, 1e-320, 5e-324])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_no_temperature_is_too_small(temperature, kind):
    logits = random_logits(3, 5.0).to(kind)
    cold = next_distribution(logits, SamplingConfig(temperature=temperature))
    assert_close(cold, next_distribution(logits, SamplingConfig(temperature=0)))
    tied = next_distribution(torch.tensor([2.0, 1.0, 2.0]), SamplingConfig(temperature=temperature))
    assert_close(tied, torch.tensor([0.5, 0.0, 0.5]))


# ------------------------------------------------------------------ un grand vocabulaire


def nucleus_by_sorting(row, p):
    """La définition : ranger, cumuler, garder ; de deux ex æquo, le plus petit id d’abord."""
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))
    masses = [math.exp(row[i] - row[order[0]]) for i in order]
    kept, before, target = set(), 0.0, p * (1 - 1e-6) * math.fsum(masses)
    for i, mass in zip(order, masses, strict=True):
        if before >= target and kept:
            break
        kept.add(i)
        before += mass
    return kept


@pytest.mark.parametrize("scale", [0.0, 0.02, 1.0, 4.0, 60.0])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_large_vocabulary_is_filtered_as_by_a_full_sort(scale, rounded):
    logits = torch.randn(2, 6001, generator=torch.Generator().manual_seed(1)).double() * scale
    if rounded:  # beaucoup d’ex æquo
        logits = (2 * logits).round() / 2
    logits[0, ::7] = -math.inf
    for p in (1e-9, 0.9, 0.999):
        kept = keep_top_p(logits, p)
        for row, found in zip(logits.tolist(), kept.isfinite(), strict=True):
            assert set(found.nonzero()[:, 0].tolist()) == nucleus_by_sorting(row, p)
        assert torch.equal(keep_top_p(logits[:, :4000], p)[1], keep_top_p(logits[1, :4000], p))
    for k in (1, 3, 20, 5000):
        threshold = logits.sort(descending=True).values[:, k - 1 : k]
        assert torch.equal(keep_top_k(logits, k), logits.where(logits >= threshold, -math.inf))


@given(
    seed=st.integers(0, 10_000),
    size=st.integers(4097, 5000),
    spread=st.floats(0.0, 12.0),
    steps=st.sampled_from([1, 2, 7, 1000]),
    best=st.integers(0, 200),
    p=st.floats(1e-6, 1.0, exclude_max=True),
    k=st.integers(1, 5000),
    kind=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_large_vocabulary_is_cut_where_a_full_sort_cuts_it(
    seed, size, spread, steps, best, p, k, kind
):
    """Des ex æquo (`steps` niveaux par nat), des −∞, quelques jetons loin devant (`best`)."""
    draw = torch.Generator().manual_seed(seed)
    logits = (spread * torch.randn(size, generator=draw, dtype=kind) * steps).round() / steps
    logits[torch.randperm(size, generator=draw)[:best]] += 10.0
    logits[::11] = -math.inf
    logits[seed % size] = 0.0  # un score fini au moins
    kept = keep_top_p(logits, p).isfinite()
    order = logits.sort(descending=True, stable=True).indices
    n_kept = int(kept.sum())
    assert torch.equal(kept[order], torch.arange(size) < n_kept)  # un début du rangement complet
    masses = (logits - logits.max()).double().exp()[order]
    reached = masses.cumsum(0) / masses.sum()
    assert n_kept == 1 or reached[n_kept - 2] < p  # sans le dernier, p n’y est pas
    assert reached[n_kept - 1] >= p * (1 - 3e-6)  # avec lui, p y est, à un arrondi près
    threshold = logits[order[min(k, size) - 1]]
    assert torch.equal(keep_top_k(logits, k).isfinite(), (logits >= threshold) & logits.isfinite())


@pytest.mark.parametrize("seed", range(4))
def test_a_large_vocabulary_equals_transformers(seed):
    logits = 3 * torch.randn(2, 9001, generator=torch.Generator().manual_seed(seed)).double()
    previous = [[1, 2, 3], [4, 4, 9000]]
    for settings in (
        {"top_p": 0.9},
        {"top_k": 40, "top_p": 0.8, "temperature": 0.7},
        {"min_p": 0.02, "repetition_penalty": 1.3},
        {"top_k": 500, "top_p": 0.97, "min_p": 0.001, "repetition_penalty": 0.8},
    ):
        sampling = SamplingConfig(**settings)
        actual = next_distribution(logits, sampling, previous)
        assert_close(actual, reference_distribution(logits, sampling, previous), atol=1e-5, rtol=0)


def test_exactly_a_share_is_enough():
    for p, expected in ((0.5, [1.0, 0, 0]), (0.75, [2 / 3, 1 / 3, 0]), (0.76, [0.5, 0.25, 0.25])):
        halves = torch.tensor([0.5, 0.25, 0.25]).log()
        assert_close(next_distribution(halves, SamplingConfig(top_p=p)), torch.tensor(expected))


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


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"temperature": True}, "temperature = True : il faut un nombre"),
        ({"temperature": "0.8"}, "temperature = '0.8' : il faut un nombre"),
        ({"temperature": None}, "temperature = None"),
        ({"top_p": False}, "top_p = False .* ou None"),
        ({"min_p": "rien"}, "min_p = 'rien'"),
        ({"repetition_penalty": [1.2]}, r"repetition_penalty = \[1.2\]"),
    ],
)
def test_settings_of_another_kind_are_refused(settings, message):
    with pytest.raises(TypeError, match=message):
        SamplingConfig(**settings)


def test_other_refusals():
    penalty = SamplingConfig(repetition_penalty=2.0)
    for previous, message in (
        ([[1], [2]], "2 suites d’ids pour 3 lignes"),
        ([[1], [29], [2]], "va de 29 à 29, et le vocabulaire de 0 à 28"),
        ([[1], [-1], [2]], "va de -1 à -1"),
    ):
        with pytest.raises(ValueError, match=message):
            next_distribution(random_logits(0), penalty, previous)
    for broken in ([1.0, math.nan], [1.0, math.inf], [-math.inf, -math.inf]):
        with pytest.raises(ValueError, match="pas des nombres finis"):
            next_distribution(torch.tensor(broken))
    for wrong in ([0.1, 0.2], torch.tensor([1, 2])):
        with pytest.raises(TypeError, match="tenseur de nombres à virgule"):
            next_distribution(wrong)
    with pytest.raises(TypeError, match=r"sampling = 0\.8"):
        next_distribution(LOGITS, 0.8)
