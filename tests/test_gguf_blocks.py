"""Les blocs de GGUF : les mêmes bits que le paquet `gguf`, format par format."""

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize as reference_dequantize
from gguf.quants import quantize as reference_quantize

from course_lib.pretrained.gguf.blocks import BLOCKS, dequantize, quantize

REFERENCED = [kind for kind in BLOCKS if kind != "F64"]
HALVES = {  # où sont les F16 d’un bloc : des octets au hasard y feraient des infinis
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
    "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_XS": [0],
}  # fmt: skip


def random_blocks(kind, n_blocks, seed=0):
    draw = np.random.default_rng(seed)
    raw = draw.integers(0, 256, (n_blocks, BLOCKS[kind].n_bytes), dtype=np.uint8)
    for place in HALVES.get(kind, []):
        scales = draw.standard_normal(n_blocks).astype("<f2")
        scales[:3] = [0.0, 6e-8, -2.5]  # nul, sous-normal, négatif
        raw[:, place : place + 2] = scales[:, None].view(np.uint8)
    return raw.reshape(-1)


@pytest.mark.parametrize("kind", REFERENCED)
def test_same_bits_as_the_reference(kind):
    n_rows, n_columns = 7, 3 * BLOCKS[kind].n_values
    raw = random_blocks(kind, n_rows * 3)
    expected = reference_dequantize(raw, gguf.GGMLQuantizationType[kind])
    found = dequantize(kind, raw, (n_rows, n_columns))
    assert found.dtype == np.float32 and found.shape == (n_rows, n_columns)
    np.testing.assert_array_equal(found.reshape(-1).view("u4"), expected.reshape(-1).view("u4"))


@pytest.mark.parametrize("kind", REFERENCED)
def test_any_bytes_give_the_bits_of_the_reference(kind):
    """Octets au hasard, échelles infinies ou indéfinies comprises ; le résultat ne garde rien."""
    shape = (601, BLOCKS[kind].n_values)
    draw = np.random.default_rng(2)
    raw = draw.integers(0, 256, 601 * BLOCKS[kind].n_bytes, dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = reference_dequantize(raw, gguf.GGMLQuantizationType[kind]).reshape(-1)
    found = dequantize(kind, raw, shape)
    assert not np.shares_memory(found, raw)
    np.testing.assert_array_equal(found.reshape(-1).view("u4"), expected.view("u4"))


def test_codes_and_sizes_are_those_of_the_reference():
    for block in BLOCKS.values():
        kind = gguf.GGMLQuantizationType[block.kind]
        assert block.code == kind.value
        assert (block.n_values, block.n_bytes) == gguf.GGML_QUANT_SIZES[kind]


def test_doubles_are_narrowed():
    values = np.array([[1.5, -2.0]])
    assert dequantize("F64", values.view(np.uint8).reshape(-1), (1, 2)).tolist() == values.tolist()


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
def test_written_bits_are_those_of_the_reference(kind):
    draw = np.random.default_rng(1)
    array = draw.standard_normal((5, 96)).astype(np.float32)
    array[0, :32] = 0.0
    array[1, :32] = np.arange(32) - 0.5  # des demis à arrondir
    expected = reference_quantize(array, gguf.GGMLQuantizationType[kind])
    found = quantize(kind, array)
    np.testing.assert_array_equal(found, np.ascontiguousarray(expected).reshape(-1).view(np.uint8))
    back = dequantize(kind, found, array.shape)
    assert np.abs(back - array).max() < {"F32": 1e-9, "F16": 2e-3, "Q8_0": 0.2}[kind]


@pytest.mark.parametrize("power", range(-44, 5))
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
def test_every_order_of_magnitude_is_written_like_the_reference(kind, power):
    """Jusqu’aux nombres sous-normaux, dont l’inverse de l’échelle déborde."""
    draw = np.random.default_rng(power + 44)
    array = (draw.standard_normal((5, 64)) * 10.0**power).astype(np.float32)
    with np.errstate(all="ignore"):
        expected = reference_quantize(array, gguf.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(
        quantize(kind, array), np.ascontiguousarray(expected).reshape(-1).view(np.uint8)
    )


@pytest.mark.parametrize("kind, largest", [("F16", 65504.0), ("Q8_0", 127 * 65504.0)])
def test_the_largest_number_is_the_last_one_written(kind, largest):
    array = np.full((3, 32), -largest, np.float32)
    assert dequantize(kind, quantize(kind, array), array.shape).tolist() == array.tolist()
    array[1, 7] = np.nextafter(np.float32(largest), np.float32(np.inf))
    with pytest.raises(ValueError, match=f"trop grand pour {kind}"):
        quantize(kind, array)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: dequantize("IQ2_XS", np.zeros(4, np.uint8), (1,)), "inconnu : 'IQ2_XS'. On sait"),
        (lambda: dequantize("Q4_1", np.zeros(19, np.uint8), (32,)), "19 octets pour un tenseur"),
        (lambda: dequantize("Q8_0", np.zeros(34, np.uint8), (17,)), "blocs de 32 nombres sur 34"),
        (lambda: quantize("Q4_1", np.zeros(32)), "ne sait pas écrire 'Q4_1'"),
        (lambda: quantize("Q8_0", np.zeros((2, 33))), "33, n’est pas un multiple de 32"),
        (lambda: quantize("F16", np.array([7e4])), "trop grand pour F16"),
        (lambda: quantize("F32", np.array([np.nan])), "nombre indéfini"),
        (lambda: quantize("F32", np.array([1e39])), "trop grand pour F32"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
