"""Les entrées arrondies : égales au calcul à la main et à PyTorch ; une colonne trop grande."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.acceleration import NumbaReader, QuantizedLinear, quantize, weight_bytes
from course_lib.acceleration.activations import (
    ActivationRange,
    DynamicLinear,
    activation_ranges,
    quantize_dynamically,
    round_inputs,
)
from course_lib.generation import CachedReader, RereadingReader, generate
from course_lib.transformer import LlamaConfig, llama

B, T, K, N, V = 2, 3, 17, 5, 53
LOUD = 7  # la colonne qui parle trop fort


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def quantized(bias=True):
    return QuantizedLinear.from_linear(nn.Linear(K, N, bias=bias))


def test_rounding_by_hand():
    x = torch.tensor([[-1.0, 0.0, 2.0, 0.5], [0.0, 10.0, 20.0, 3.0]])
    levels, scale = round_inputs(x, "token", bits=2)  # pas de 1, zéro au rang 1 ; pas de 20 / 3
    assert_close(scale, torch.tensor([[1.0], [20 / 3]]))
    assert levels.tolist() == [[-1, 0, 2, 0], [0, 2, 3, 0]]
    levels, scale = round_inputs(x, "tensor", bits=2)  # pas de 7, zéro au rang 0
    assert scale.tolist() == [7.0]
    assert levels.tolist() == [[0, 0, 0, 0], [0, 1, 3, 0]]


@pytest.mark.parametrize("per", ["tensor", "token"])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("bits", [8, 5])
def test_rounding_costs_at_most_one_step(per, shift, bits):
    x = torch.randn(B, T, K) + shift
    levels, scale = round_inputs(x, per, bits)
    assert scale.shape == ((1,) if per == "tensor" else (B, T, 1))
    assert torch.equal(levels, levels.round())
    rows = levels.flatten() if per == "tensor" else levels
    assert (rows.amax(-1) - rows.amin(-1)).max() <= 2**bits - 1
    # Une demi-échelle, et une de plus aux bords, que l’arrondi du zéro décale.
    assert ((levels * scale - x).abs() <= 1.001 * scale).all()
    assert (levels * scale - x).abs().mean() < 0.3 * scale.mean()


def test_inputs_all_zero_stay_zero():
    layer = DynamicLinear(quantized())
    assert_close(layer(torch.zeros(B, K)), layer.linear.bias.expand(B, N))


@pytest.mark.slow
@pytest.mark.parametrize("per", ["tensor", "token"])
def test_equals_integer_arithmetic(per):
    layer, x = DynamicLinear(quantized(), per), torch.randn(B, T, K)
    levels, scale = round_inputs(x, per)
    integers = levels.numpy().astype(np.int64) @ layer.linear.values.numpy().astype(np.int64).T
    expected = torch.tensor(integers) * scale * layer.linear.scales[:, 0] + layer.linear.bias
    assert_close(layer(x), expected)
    assert (layer(x) - layer.linear(x)).abs().max() > 1e-3  # arrondir les entrées se voit


@pytest.mark.depends_on_machine
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel")
def test_equals_pytorch_on_seven_bits():
    """Le calcul de `torch.ao.quantization.quantize_dynamic`, fonction obsolète qui avertit."""
    layer, x = DynamicLinear(quantized(), input_bits=7), torch.randn(B, T, K) + 0.5
    weight, scales = layer.linear.weight.dequantize(), layer.linear.scales[:, 0]
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("ce processeur n’a pas le produit d’entiers de PyTorch à comparer")
    packed = torch.ops.quantized.linear_prepack(
        torch.quantize_per_channel(
            weight, scales.double(), torch.zeros(N, dtype=torch.long), 0, torch.qint8
        ),
        layer.linear.bias,
    )
    assert_close(layer(x), torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True))


def test_a_token_alone_does_not_depend_on_its_neighbours():
    x = torch.randn(B, T, K)
    x[1, 2] *= 100
    by_token, by_tensor = (DynamicLinear(quantized(), per) for per in ("token", "tensor"))
    assert_close(by_token(x)[0, 1], by_token(x[0, 1]))
    assert_close(by_tensor(x[0, 1]), DynamicLinear(by_tensor.linear, "token")(x[0, 1]))
    quiet = x[0]  # une seule position crie : par tenseur, toutes les autres y perdent
    errors = [
        (layer(x)[0] - layer.linear(quiet)).norm() / layer.linear(quiet).norm()
        for layer in (by_token, by_tensor)
    ]
    assert errors[0] < 0.02 < 0.2 < errors[1]


def test_skipped_columns_stay_in_single_precision():
    x = torch.randn(B, T, K)
    x[..., LOUD] *= 100
    linear = quantized()
    everything, nothing = (DynamicLinear(linear, "token", level) for level in (1e-9, 1e9))
    assert_close(everything(x), linear(x))
    assert_close(nothing(x), DynamicLinear(linear, "token")(x))
    quiet = x.clone()
    quiet[..., LOUD] = 0.0
    column = linear.weight.dequantize()[:, LOUD]
    mixed = DynamicLinear(linear, "tensor", 20.0)
    expected = DynamicLinear(linear)(quiet) + x[..., LOUD, None] * column
    assert_close(mixed(x), expected, atol=1e-4, rtol=1e-4)


def loud_model():
    """Un petit Llama dont la colonne LOUD, à chaque position, est 60 fois plus grande."""
    model = llama(LlamaConfig(V, 41, d_model=34, n_layers=2, n_heads=1, d_ff=37)).eval()
    for block in model.blocks:
        for norm in (block.self_attention_norm, block.feed_forward_norm):
            norm.weight.data[LOUD] = 60.0
    return model


def test_a_loud_column_ruins_one_scale_per_tensor_and_the_mixed_form_repairs_it():
    model, ids = loud_model(), torch.randint(V, (B, 29))
    with torch.no_grad():
        expected = quantize(model)(ids)  # les mêmes poids ; seules les entrées sont arrondies
        errors = {
            settings: float(
                (quantize_dynamically(model, *settings)(ids) - expected).norm() / expected.norm()
            )
            for settings in (("tensor",), ("token",), ("tensor", 20.0))
        }
    assert errors["tensor",] > 0.02
    assert errors["token",] < errors["tensor",] / 1.5  # chaque position a son propre éclat
    assert errors["tensor", 20.0] < errors["tensor",] / 4


def test_ranges_find_the_loud_column():
    model, ids = loud_model(), torch.randint(V, (B, 29))
    found = {r.name: r for r in activation_ranges(model, [ids])}
    assert len(found) == 2 * 7 + 1 and list(found)[-1] == "head"
    for name, layer in found.items():
        loud = name.split(".")[-1] in ("query", "key", "value", "gate", "up")
        assert (layer.ratio > 20) == loud, layer
        assert layer.ratio == pytest.approx(layer.maximum / layer.median)
        if loud:
            assert layer.column == LOUD


def test_ranges_by_hand_over_several_batches():
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    batches = [torch.tensor([[[1.0, -7.0, 2.0]]]), torch.tensor([[[-3.0, 0.0, 2.5]]])]
    first = activation_ranges(model, batches)[0]
    assert first == ActivationRange("0", 7.0, 3.0, 7 / 3, 1)
    assert activation_ranges(model, []) == []
    assert activation_ranges(model, [torch.zeros(1, 1, 3)])[0].ratio == float("inf")


def test_hooks_are_removed_even_after_an_error():
    model = nn.Sequential(nn.Linear(3, 5))
    with pytest.raises(RuntimeError):
        activation_ranges(model, [torch.zeros(1, 1, 4)])
    assert not model[0]._forward_pre_hooks


def test_the_model_is_copied_and_still_writes():
    model = loud_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    dynamic = quantize_dynamically(model, "token", 6.0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(isinstance(layer, nn.Linear) for layer in dynamic.modules())
    assert weight_bytes(dynamic) == weight_bytes(quantize(model))
    # Une échelle par position : lire d’un coup ou jeton par jeton, c’est le même calcul.
    cached, reread = (
        generate(dynamic, [[1, 2, 3]], 9, seed=1, reader=reader)[0].ids
        for reader in (CachedReader, RereadingReader)
    )
    assert cached == reread
    with pytest.raises(ValueError, match="prenez reader=CachedReader"):
        generate(dynamic, [[1]], 3, reader=NumbaReader)


def test_an_empty_input_has_an_empty_output():
    assert DynamicLinear(quantized())(torch.zeros(0, K)).shape == (0, N)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per": "row"}, "per = 'row' : une échelle par quoi"),
        ({"skip_outliers": 0.0}, "skip_outliers = 0.0 : un seuil positif"),
        ({"input_bits": 9}, "input_bits = 9 : il faut de 2 à 8 bits"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        quantize_dynamically(loud_model(), **settings)
