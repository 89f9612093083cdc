"""Les entiers d’un fichier, du GGUF au noyau : les mêmes nombres que ses poids reformés."""

import gguf
import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.acceleration import NumbaReader, QuantizedLinear, load_rounded
from course_lib.acceleration.kernels import project
from course_lib.acceleration.layout import stack
from course_lib.acceleration.rounded import quantized_weight
from course_lib.acceleration.weights import QuantizedWeight, quantize_weight
from course_lib.generation import CachedReader
from course_lib.models import load_romancier
from course_lib.models.shipped import MODELS
from course_lib.pretrained.gguf.blocks import BLOCKS, dequantize, read_levels
from course_lib.pretrained.gguf.levels import IQ4_LEVELS, LEVELS, SIXTEEN_LEVELS
from course_lib.pretrained.places import Place

LAYOUTS = [(bits, size) for bits in (8, 4) for size in (None, 16, 32, 48, 96, 12)]


def finite_bytes(kind: str, n_blocks: int) -> np.ndarray:
    """Des octets tirés au hasard, que gguf relit en nombres finis."""
    draw = np.random.default_rng(0)
    raw = draw.integers(0, 256, (40 * n_blocks, BLOCKS[kind].n_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        values = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind])
    finite = np.isfinite(values).all(1) & (np.abs(values).max(1) < 1e4)
    return raw[finite][:n_blocks].reshape(-1)


@pytest.mark.parametrize("kind", LEVELS)
def test_the_integers_of_a_file_are_its_numbers(kind):
    shape = (6, 2 * BLOCKS[kind].n_values)
    raw = finite_bytes(kind, 12)
    levels = read_levels(kind, raw, shape)
    assert levels.integers.dtype == np.int8 and levels.integers.shape == shape
    expected = torch.from_numpy(dequantize(kind, raw, shape))
    weight = quantized_weight(levels, kind, Place("w"))
    assert weight.bits == (4 if kind in SIXTEEN_LEVELS else 8)
    assert_close(weight.dequantize(), expected, atol=0, rtol=1e-6)
    moved = quantized_weight(levels, kind, Place("w", interleaved_heads=1))
    rows = [0, 2, 4, 1, 3, 5]
    assert_close(moved.dequantize(), expected[rows], atol=0, rtol=1e-6)


def test_floats_have_no_integers():
    assert read_levels("F16", np.zeros(8, np.uint8), (2, 2)) is None


@pytest.mark.parametrize("n_rows", [1, 3, 9])
@pytest.mark.parametrize("bits, size", LAYOUTS)
def test_a_stack_is_read_like_its_weights(bits, size, n_rows):
    """Deux étages de deux couches, la largeur 96 ou, complétée, 48."""
    torch.manual_seed(0)
    for width in (96, 48):
        if size is not None and width % size:
            continue
        weights = [quantize_weight(torch.randn(n, width), bits, size) for n in (5, 7, 5, 7)]
        layers = [QuantizedLinear(weight) for weight in weights]
        _check(stack([layers[:2], layers[2:]]), weights, n_rows)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_layers_of_different_layouts_live_together(n_rows):
    torch.manual_seed(0)
    levels = torch.tensor(IQ4_LEVELS, dtype=torch.int8)
    four = quantize_weight(torch.randn(5, 96), 4, 32)
    table = QuantizedWeight(4, four.values, four.scales, torch.empty(0), levels)
    others = [quantize_weight(torch.randn(3, 96), *form) for form in ((8, None), (4, 16), (8, 32))]
    for pair in ((four, table), *((table, other) for other in others)):
        _check(stack([[QuantizedLinear(weight) for weight in pair]]), pair, n_rows)
    floats = torch.randn(4, 96)
    mixed = stack([[QuantizedLinear(table), floats.numpy()]])
    assert mixed[5] == 32
    assert_close(torch.from_numpy(mixed[0][0]), torch.cat([table.dequantize(), floats]))


def _check(weight, parts, n_rows):
    n_layers = max(len(array) for array in weight[:5])
    x = torch.randn(n_rows, parts[0].shape[1] + 3)[:, : parts[0].shape[1]].contiguous()
    for layer in range(n_layers):
        matrix = torch.cat([part.dequantize() for part in parts[2 * layer : 2 * layer + 2]])
        for n_threads in (1, 2):
            out = np.empty((n_rows, len(matrix)), np.float32)
            project(weight, layer, x.numpy(), out, n_rows, n_threads)
            expected = (x.double() @ matrix.double().T).float()
            assert_close(torch.from_numpy(out), expected, atol=2e-5, rtol=1e-5)


def test_a_layer_sees_its_new_weights():
    layer = QuantizedLinear.from_linear(nn.Linear(32, 4, bias=False))
    with torch.no_grad():
        before = layer(torch.ones(1, 32))
        layer.scales.mul_(2)
        assert_close(layer(torch.ones(1, 32)), 2 * before)


@pytest.mark.slow
def test_the_romancier_writes_with_the_integers_of_its_file():
    (model, tokenizer), rounded = load_romancier(), load_rounded("romancier")
    for name, layer in rounded.model.named_modules():
        if isinstance(layer, QuantizedLinear):
            assert layer.bits == 4
            assert torch.equal(layer.weight.dequantize(), model.get_submodule(name).weight)
    assert isinstance(rounded.model.head, QuantizedLinear)
    prompts = [tokenizer.encode(text) for text in ("La marquise entra", "Il", "— Où est-il ?")]
    for batch in (prompts[:1], prompts):
        ours, theirs = NumbaReader(rounded.model, batch, 40), CachedReader(model, batch, 40)
        assert_close(ours.start(), theirs.start(), atol=1e-4, rtol=1e-4)
        for token in range(20, 25):
            ids = [token] * len(batch)
            assert_close(ours.step(ids), theirs.step(ids), atol=1e-4, rtol=1e-4)


def test_a_folder_has_no_integers():
    with pytest.raises(ValueError, match=r"petit_llm.* est un dossier .* avec quantize"):
        load_rounded(MODELS / "petit_llm")
