"""Les positions, les réseaux à deux couches et le bloc."""

import math

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from course_lib.transformer.attention import Attention
from course_lib.transformer.blocks import Block, FeedForward, SwiGLU
from course_lib.transformer.positions import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    rotate,
    sinusoidal_table,
)

B, T, S, D, FF = 2, 5, 7, 6, 13


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_sinusoidal_table_by_hand():
    table = sinusoidal_table(4, 4)
    slow = 3 / 10000 ** (2 / 4)
    expected = [math.sin(3), math.cos(3), math.sin(slow), math.cos(slow)]
    assert_close(table[3], torch.tensor(expected))
    assert sinusoidal_table(3, 5).shape == (3, 5)  # une dimension impaire finit par un sinus


def test_fixed_positions_are_not_saved_and_learned_ones_are():
    assert list(SinusoidalPositions(T, D).state_dict()) == []
    assert list(RotaryPositions(T, D).state_dict()) == []
    assert list(LearnedPositions(T, D).state_dict()) == ["table.weight"]


def test_rotation_by_hand():
    # Dh = 2, une seule paire (0, 1), tournée d’un radian par position.
    rope = RotaryPositions(3, 2)(torch.tensor([2]))
    turned = rotate(torch.tensor([[[[1.0, 0.0]]]]), rope)
    assert_close(turned, torch.tensor([[[[math.cos(2), math.sin(2)]]]]))


def test_rotary_scores_depend_only_on_the_distance():
    rope, q, k = RotaryPositions(53, 10), torch.randn(1, 1, 1, 10), torch.randn(1, 1, 1, 10)

    def score(i, j):
        return (rotate(q, rope(torch.tensor([i]))) * rotate(k, rope(torch.tensor([j])))).sum()

    assert_close(score(7, 3), score(47, 43), atol=1e-5, rtol=0)
    assert abs(score(7, 3) - score(7, 4)) > 1e-3


@pytest.mark.parametrize(
    "name, function",
    [
        ("relu", F.relu),
        ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
        ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh")),
    ],
)
def test_feed_forward_formula(name, function):
    network, x = FeedForward(D, FF, name), torch.randn(B, T, D)
    hidden = function(x @ network.up.weight.T + network.up.bias)
    assert_close(network(x), hidden @ network.down.weight.T + network.down.bias)


def test_exact_and_approximate_gelu_differ():
    network, x = FeedForward(D, FF, "gelu"), 3 * torch.randn(B, T, D)
    approximate = FeedForward(D, FF, "gelu_tanh")
    approximate.load_state_dict(network.state_dict())
    assert not torch.equal(network(x), approximate(x))


def test_unknown_activation_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'swish' est inconnue.*relu, gelu, gelu_tanh"):
        FeedForward(D, FF, "swish")


def test_swiglu_formula():
    network, x = SwiGLU(D, FF), torch.randn(B, T, D)
    gate = x @ network.gate.weight.T
    hidden = gate * torch.sigmoid(gate) * (x @ network.up.weight.T)
    assert_close(network(x), hidden @ network.down.weight.T)


def make_block(norm_first, cross=True):
    return Block(
        Attention(D, 3),
        FeedForward(D, FF),
        lambda: nn.LayerNorm(D),
        cross_attention=Attention(D, 2) if cross else None,
        norm_first=norm_first,
    )


def test_norm_order():
    x, memory = torch.randn(B, T, D), torch.randn(B, S, D)
    before, after = make_block(True), make_block(False)
    y = x + before.self_attention(before.self_attention_norm(x))
    y = y + before.cross_attention(before.cross_attention_norm(y), memory)
    y = y + before.feed_forward(before.feed_forward_norm(y))
    assert_close(before(x, memory), y)
    y = after.self_attention_norm(x + after.self_attention(x))
    y = after.cross_attention_norm(y + after.cross_attention(y, memory))
    y = after.feed_forward_norm(y + after.feed_forward(y))
    assert_close(after(x, memory), y)


def test_block_without_cross_attention_has_no_norm_for_it():
    names = {name.split(".")[0] for name, _ in make_block(True, cross=False).named_parameters()}
    assert names == {
        "self_attention",
        "self_attention_norm",
        "feed_forward",
        "feed_forward_norm",
    }


def test_cross_attention_without_memory_is_refused():
    with pytest.raises(ValueError, match=r"attention croisée.*memory"):
        make_block(True)(torch.randn(B, T, D))
    with pytest.raises(ValueError, match="n’a pas d’attention croisée"):
        make_block(True, cross=False)(torch.randn(B, T, D), torch.randn(B, S, D))


def test_wrong_shape_is_caught_by_the_annotations():
    with pytest.raises(jaxtyping.TypeCheckError, match="Type-check error"):
        make_block(True)(torch.randn(B, T, D), torch.randn(B, S, D + 1))
