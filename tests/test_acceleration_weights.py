"""Les poids rangés : erreur bornée, disposition des octets, refus clairs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from course_lib.acceleration import quantize_weight

N = 7


def random_weight(width, seed=0, scale=1.0):
    return scale * torch.randn(N, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits, levels", [(8, 254), (4, 15)])
@pytest.mark.parametrize("group_size", [None, 26, 6])
def test_the_error_is_at_most_half_a_step(bits, levels, group_size):
    weight = random_weight(78)
    packed = quantize_weight(weight, bits, group_size)
    assert packed.shape == (N, 78)
    assert packed.group_size == (group_size or 78)
    groups = weight.view(N, -1, packed.group_size)
    if bits == 8:
        steps = 2 * groups.abs().amax(-1) / levels
    else:
        steps = (groups.amax(-1) - groups.amin(-1)) / levels
    errors = (packed.dequantize() - weight).abs().view_as(groups).amax(-1)
    assert (errors <= 0.5001 * steps + 1e-7).all()
    assert (errors > 0.05 * steps).any()  # un arrondi sans erreur ne serait pas un arrondi


def test_smaller_groups_err_less():
    weight = random_weight(96) * torch.logspace(-2, 1, 96)
    for bits in (8, 4):
        gaps = [
            float((quantize_weight(weight, bits, size).dequantize() - weight).square().mean())
            for size in (None, 48, 6)
        ]
        assert gaps[0] > gaps[1] > 2 * gaps[2]


def test_two_weights_share_a_byte():
    weight = torch.tensor([[0.0, 1.0, 2.0, 15.0, 0.0, 30.0, 2.0, 4.0]])
    packed = quantize_weight(weight, 4, 4)
    # Premier groupe : niveaux 0 1 2 15, donc octets (0, 2) et (1, 15) ; second : 0 15 1 2.
    assert packed.values.tolist() == [[0 | 2 << 4, 1 | 15 << 4, 0 | 1 << 4, 15 | 2 << 4]]
    assert packed.scales.tolist() == [[1.0, 2.0]]
    assert packed.minimums.tolist() == [[0.0, 0.0]]
    assert_close(packed.dequantize(), weight)


def test_bytes_are_counted_with_the_scales():
    weight = random_weight(64)
    assert quantize_weight(weight).n_bytes == N * (64 + 4)
    assert quantize_weight(weight, 4, 32).n_bytes == N * (32 + 2 * 2 * 4)


def test_rounding_twice_changes_nothing():
    for bits in (8, 4):
        once = quantize_weight(random_weight(32), bits, 8).dequantize()
        assert_close(quantize_weight(once, bits, 8).dequantize(), once, atol=1e-6, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=6, max_size=6),
    st.sampled_from([8, 4]),
)
def test_any_finite_row_survives(row, bits):
    weight = torch.tensor([row])
    found = quantize_weight(weight, bits).dequantize()
    assert found.isfinite().all()
    spread = weight.abs().max() if bits == 8 else weight.max() - weight.min()
    assert ((found - weight).abs() <= 0.51 * spread / (127 if bits == 8 else 15) + 1e-30).all() or (
        spread == 0
    )


@pytest.mark.parametrize(
    "weight, options, message",
    [
        (random_weight(12), {"bits": 3}, "bits = 3 : on sait ranger un poids sur 8 ou sur 4"),
        (random_weight(12)[0], {}, r"forme \(12,\) ; il faut une matrice"),
        (random_weight(12), {"group_size": 5}, "group_size = 5 .* divise la ligne de 12 poids"),
        (random_weight(12), {"group_size": 0}, "group_size = 0"),
        (random_weight(9), {"bits": 4, "group_size": 3}, "3 .* 9 poids et soit pair"),
        (torch.full((2, 4), torch.nan), {}, "n’est pas un nombre fini"),
    ],
)
def test_bad_requests_are_refused(weight, options, message):
    with pytest.raises(ValueError, match=message):
        quantize_weight(weight, **options)
