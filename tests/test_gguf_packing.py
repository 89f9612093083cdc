"""Ranger des poids déjà arrondis : relus au bit près, par nous et par le paquet `gguf`."""

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize as reference_dequantize

from course_lib.pretrained.gguf.blocks import BLOCKS
from course_lib.pretrained.gguf.levels import IQ4_LEVELS
from course_lib.pretrained.gguf.packing import Packed, pack_blocks

LEVELS = {
    "Q8_0": np.arange(-127, 128),
    "Q3_K": np.arange(-4, 4),
    "Q4_K": np.arange(16),
    "IQ4_XS": np.array(IQ4_LEVELS),
}
GROUPS = {"Q8_0": 1, "Q3_K": 16, "Q4_K": 8, "IQ4_XS": 8}
SCALES = {"Q8_0": (1, 2), "Q3_K": (-32, 32), "Q4_K": (0, 64), "IQ4_XS": (-32, 32)}


def drawn(kind, n_blocks=301):
    """Des entiers au hasard, aux bornes comprises, et des échelles ordinaires ou extrêmes."""
    draw = np.random.default_rng(4)
    levels = draw.choice(LEVELS[kind], (n_blocks, BLOCKS[kind].n_values))
    scales = draw.integers(*SCALES[kind], (n_blocks, GROUPS[kind]))
    d, dmin = draw.standard_normal((2, n_blocks)).astype(np.float16).astype(np.float32)
    d[:3], dmin[:3] = [0.0, 6e-8, -65504.0], [65504.0, -6e-8, 0.0]
    d[1] = dmin[1] = np.float16(6e-8)
    blocks = {"levels": levels, "scales": scales, "d": d}
    if kind == "Q4_K":
        blocks |= {"minimums": draw.integers(0, 64, scales.shape), "dmin": dmin}
    return blocks


def said(levels, scales, d, minimums=None, dmin=None):
    """Ce que disent ces entiers : (d·s)·q − dmin·m, en simple précision."""
    grouped = levels.reshape(*scales.shape, -1).astype(np.float32)
    values = (d[:, None] * scales.astype(np.float32))[..., None] * grouped
    if minimums is not None:
        values = values - (dmin[:, None] * minimums.astype(np.float32))[..., None]
    return values.reshape(levels.shape)


@pytest.mark.parametrize("kind", LEVELS)
def test_packed_blocks_say_what_was_given(kind):
    blocks = drawn(kind)
    raw = pack_blocks(kind, **blocks)
    assert raw.dtype == np.uint8 and raw.shape == (301, BLOCKS[kind].n_bytes)
    expected = said(**blocks)
    reference = reference_dequantize(raw.reshape(-1), gguf.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(reference.reshape(expected.shape), expected)
    packed = Packed(kind, raw.reshape(7, -1))
    assert packed.shape == (7, 43 * BLOCKS[kind].n_values) and packed.size == expected.size
    np.testing.assert_array_equal(packed.values(), expected.reshape(packed.shape))


@pytest.mark.parametrize(
    "kind, change, message",
    [
        ("Q5_K", {}, "ranger 'Q5_K' : choisissez parmi Q8_0"),
        ("Q3_K", {"levels": np.full((3, 256), 4)}, "levels contient 4 .* de -4 à 3"),
        ("IQ4_XS", {"levels": np.zeros((3, 256), int)}, "levels contient 0 .* de -127 à 113"),
        ("IQ4_XS", {"scales": np.full((3, 8), 32)}, "scales contient 32 .* de -32 à 31"),
        ("Q4_K", {"minimums": np.full((3, 8), -1)}, "minimums contient -1 .* de 0 à 63"),
        ("Q8_0", {"d": np.full(3, 0.1)}, "d contient un nombre qui n’est pas un F16"),
        ("Q4_K", {"dmin": np.full(3, 1e5)}, "dmin contient un nombre qui n’est pas un F16"),
    ],
)
def test_what_does_not_fit_is_refused(kind, change, message):
    blocks = drawn(kind if kind in LEVELS else "Q4_K", 3) | change
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=message):
        pack_blocks(kind, **blocks)
