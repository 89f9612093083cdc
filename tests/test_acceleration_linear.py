"""Les couches accélérées : égales à PyTorch, à une ligne ou à plusieurs, avec et sans numba."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import course_lib.acceleration
from course_lib.acceleration import (
    AcceleratedLinear,
    NumbaReader,
    QuantizedLinear,
    accelerate,
    linear,
    quantize,
    weight_bytes,
)
from course_lib.generation import generate
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama

K, N = 80, 31
KINDS = {
    "fp32": lambda layer: AcceleratedLinear.from_linear(layer),
    "8 bits": lambda layer: QuantizedLinear.from_linear(layer),
    "8 bits, groupes": lambda layer: QuantizedLinear.from_linear(layer, 8, 16),
    "8 bits, groupes étroits": lambda layer: QuantizedLinear.from_linear(layer, 8, 10),
    "4 bits": lambda layer: QuantizedLinear.from_linear(layer, 4),
    "4 bits, groupes": lambda layer: QuantizedLinear.from_linear(layer, 4, 16),
    "4 bits, groupes étroits": lambda layer: QuantizedLinear.from_linear(layer, 4, 10),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=["un fil", "deux fils"])
def threads(request, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1 if request.param == "un fil" else 2)
    monkeypatch.setattr(linear, "THREADED_BYTES", 0)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "course_lib.acceleration.kernels", raising=False)
    monkeypatch.delattr(course_lib.acceleration, "kernels", raising=False)
    linear.find_kernels.cache_clear()
    yield
    linear.find_kernels.cache_clear()


def expected_output(layer, x):
    if isinstance(layer, QuantizedLinear):
        return F.linear(x, layer.weight.dequantize(), layer.bias)
    return F.linear(x, layer.weight, layer.bias)


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1,), (5, 1), (2, 3), (1, 29)], ids=str)
def test_equals_torch(kind, bias, shape):
    layer = KINDS[kind](nn.Linear(K, N, bias=bias))
    x = torch.randn(*shape, K)
    with torch.no_grad():
        y = layer(x)
        assert y.shape == (*shape, N)
        assert_close(y, expected_output(layer, x), atol=1e-5, rtol=1e-5)


def test_the_kernel_really_serves(monkeypatch):
    layers = [make(nn.Linear(K, N)) for make in KINDS.values()]
    calls = []
    run = linear._run_kernel
    monkeypatch.setattr(linear, "_run_kernel", lambda *a: calls.append(a[0][5]) or run(*a))
    with torch.no_grad():
        for layer in layers:
            layer(torch.randn(1, K))
            rounded = isinstance(layer, QuantizedLinear)
            most = linear.MAX_INTEGER_ROWS if rounded else linear.MAX_KERNEL_ROWS
            layer(torch.randn(most + 1, K))  # trop de lignes : PyTorch
            layer(torch.randn(0, K))
    assert calls == [32, 8, 8, 32, 4, 4, 32]  # 32 : des groupes que le noyau reforme


@pytest.mark.usefixtures("without_numba")
def test_torch_serves_without_numba():
    assert linear.find_kernels() is None
    for make in KINDS.values():
        layer, x = make(nn.Linear(K, N)), torch.randn(1, K)
        with torch.no_grad():
            assert_close(layer(x), expected_output(layer, x))


@pytest.mark.usefixtures("without_numba")
def test_the_reader_of_numba_says_what_it_needs():
    model = llama(LlamaConfig(53, 41, 30, 2, 3)).eval()
    with pytest.raises(ImportError, match=r"\[acceleration\]\", ou prenez reader=Cached"):
        generate(model, [[1, 2]], 9, reader=NumbaReader)


def test_the_kernels_leave_torch_its_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        linear.find_kernels.cache_clear()
        layer = QuantizedLinear.from_linear(nn.Linear(K, N))
        with torch.no_grad():
            layer(torch.randn(1, K))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_gradients_still_flow_through_an_accelerated_layer():
    layer = AcceleratedLinear.from_linear(nn.Linear(K, N))
    x = torch.randn(1, K, requires_grad=True)
    layer(x).sum().backward()
    assert_close(x.grad, layer.weight.sum(0, keepdim=True))
    assert layer.weight.grad is not None


def model_of(kind):
    if kind == "gpt2":
        return gpt2(GPT2Config(53, 41, 18, 2, 3, dropout=0.0)).eval()
    return llama(LlamaConfig(53, 41, 30, 2, 3, n_kv_heads=1, d_ff=34)).eval()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_accelerated_model_shares_its_weights(kind):
    model = model_of(kind)
    fast = accelerate(model)
    assert [id(p) for p in fast.parameters()] == [id(p) for p in model.parameters()]
    assert fast.head.weight is fast.embedding.tokens.weight
    assert type(model.head) is nn.Linear and type(fast.head) is AcceleratedLinear
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert_close(fast(ids), model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("bits, group, gap", [(8, None, 0.02), (4, 6, 0.2)])
def test_quantized_model_is_close_and_leaves_the_original_alone(kind, bits, group, gap):
    model = model_of(kind)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rounded = quantize(model, bits, group)
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        expected, found = model(ids), rounded(ids)
    assert 0 < float((found - expected).abs().max()) < gap * float(expected.abs().max()) + 0.02
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert rounded.embedding.tokens.weight is model.embedding.tokens.weight
    assert weight_bytes(rounded) < weight_bytes(model) / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_threads, bits, group, head_bits",
    [
        (1, 8, None, None),
        (1, 8, 10, None),
        (1, 4, 6, 8),
        (1, 4, None, 8),
        (2, 8, None, None),
        (2, 8, 10, None),
        (2, 4, 6, None),
        (2, 4, None, None),
    ],
)
def test_quantized_decoder_writes_with_the_kernels(n_threads, bits, group, head_bits, monkeypatch):
    """Le lecteur compilé rend les scores des poids reformés, à un texte et à plusieurs."""
    from course_lib.acceleration import decoder
    from course_lib.generation.readers import CachedReader

    monkeypatch.setattr(decoder, "THREADED_MODEL_BYTES", 0)
    model = model_of("llama")
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    model = quantize(model, bits, group, head_bits)
    assert (model.head.bits, model.blocks[0].self_attention.key.bits) == (head_bits or bits, bits)
    # la descente, de largeur 34, garde une échelle
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        for prompts in ([[1, 2, 3]], [[4], [5, 6], [7] * 5, [8], [9, 9]]):
            readers = [reader(model, prompts, 40) for reader in (CachedReader, NumbaReader)]
            assert_close(*[reader.start() for reader in readers])
            for turn in range(6):
                ids = [(11 * turn + i) % 53 for i in range(len(prompts))]
                expected, found = [reader.step(ids) for reader in readers]
                assert_close(found, expected, atol=1e-4, rtol=1e-4)
    finally:
        torch.set_num_threads(before)
