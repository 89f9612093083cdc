"""L’attention : à la main, contre PyTorch, avec masques et mémoire cache."""

import math

import jaxtyping
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.transformer.attention import (
    Attention,
    causal_mask,
    resolve_mask,
    scaled_dot_product,
)
from course_lib.transformer.cache import KVCache
from course_lib.transformer.positions import RotaryPositions

B, H, T, S, DH = 2, 3, 5, 7, 11
D = H * DH


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_qkv(n_kv_heads=H, n_queries=T, n_keys=S):
    shapes = ((B, H, n_queries, DH), (B, n_kv_heads, n_keys, DH), (B, n_kv_heads, n_keys, DH))
    return tuple(torch.randn(shape) for shape in shapes)


def random_mask(n_queries=T, n_keys=S):
    mask = torch.rand(B, 1, n_queries, n_keys) < 0.5
    mask[..., 0] = True  # toute requête a quelque chose à lire
    return mask


def test_three_numbers_by_hand():
    # Dh = 1 : les scores sont q·k = 0, ln 2, ln 5 ; les poids 1/8, 2/8, 5/8.
    q = torch.tensor([[[[1.0]]]])
    k = torch.tensor([[[[0.0], [math.log(2)], [math.log(5)]]]])
    v = torch.tensor([[[[8.0], [16.0], [24.0]]]])
    y, weights = scaled_dot_product(q, k, v)
    assert_close(weights, torch.tensor([[[[1 / 8, 2 / 8, 5 / 8]]]]))
    assert_close(y, torch.tensor([[[[1.0 + 4.0 + 15.0]]]]))


def test_scores_are_divided_by_sqrt_head_dim():
    q = torch.ones(1, 1, 1, 4)
    k = torch.stack((torch.zeros(4), torch.ones(4)))[None, None]  # scores 0 et 4 / √4 = 2
    _, weights = scaled_dot_product(q, k, k)
    assert_close(weights[0, 0, 0, 1], torch.tensor(1 / (1 + math.exp(-2))))


def test_causal_mask_aligns_the_last_query_with_the_last_key():
    expected = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool()
    assert torch.equal(causal_mask(3, 5), expected)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n_queries", [1, T, S])
@pytest.mark.parametrize("n_kv_heads", [1, H])
def test_fast_path_equals_explicit_path(is_causal, masked, n_queries, n_kv_heads):
    q, k, v = random_qkv(n_kv_heads, n_queries)
    mask = random_mask(n_queries) if masked else None
    expected, _ = scaled_dot_product(q, k, v, mask, is_causal)
    fast_mask, fast_causal = resolve_mask(mask, is_causal, n_queries, S)
    y = nn.functional.scaled_dot_product_attention(
        q, k, v, fast_mask, is_causal=fast_causal, enable_gqa=n_kv_heads < H
    )
    assert_close(y, expected, atol=1e-5, rtol=0)


def test_mask_and_causal_are_both_obeyed():
    q, k, v = random_qkv(n_keys=T)
    mask = random_mask(n_keys=T)
    _, weights = scaled_dot_product(q, k, v, mask, is_causal=True)
    forbidden = ~(mask & causal_mask(T, T)).expand_as(weights)
    assert weights[forbidden].abs().max() == 0
    assert_close(weights.sum(-1), torch.ones(B, H, T))
    # Le même masque tout fait donne le même résultat à travers le module.
    attention, x = Attention(D, H), torch.randn(B, T, D)
    both = attention(x, mask=mask, is_causal=True)
    assert_close(both, attention(x, mask=mask & causal_mask(T, T)))
    assert not torch.allclose(both, attention(x, mask=mask))
    assert not torch.allclose(both, attention(x, is_causal=True))


@pytest.mark.parametrize("return_weights", [False, True])
def test_row_with_nothing_to_read_gives_zero_and_finite_gradients(return_weights):
    attention, x = Attention(D, H, bias=False), torch.randn(B, T, D, requires_grad=True)
    mask = torch.ones(B, 1, T, T, dtype=torch.bool)
    mask[0, :, 2] = False
    y = attention(x, mask=mask, return_weights=return_weights)
    if return_weights:
        y, weights = y
        assert weights[0, :, 2].abs().max() == 0
    assert y[0, 2].abs().max() == 0
    y.square().sum().backward()
    assert x.grad.isfinite().all()


def copy_multihead(reference: nn.MultiheadAttention, ours: Attention) -> None:
    """Copie les poids de PyTorch, qui empile requête, clé et valeur dans une seule matrice."""
    state = reference.state_dict()
    projections = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        for i, projection in enumerate(projections):
            projection.weight.copy_(state["in_proj_weight"].chunk(3)[i])
            projection.bias.copy_(state["in_proj_bias"].chunk(3)[i])
    ours.output.load_state_dict({k: state[f"out_proj.{k}"] for k in ("weight", "bias")})


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("return_weights", [False, True])
def test_equals_torch_multihead_attention(cross, return_weights):
    reference = nn.MultiheadAttention(D, H, batch_first=True)
    nn.init.normal_(reference.in_proj_bias)
    ours = Attention(D, H)
    copy_multihead(reference, ours)
    x = torch.randn(B, T, D)
    memory = torch.randn(B, S, D) if cross else x
    padding = torch.ones(B, memory.shape[1], dtype=torch.bool)
    padding[0, -2:] = False
    # PyTorch marque au contraire d’un True ce qu’il faut cacher.
    expected, expected_weights = reference(
        x, memory, memory, key_padding_mask=~padding, average_attn_weights=False
    )
    result = ours(
        x,
        memory if cross else None,
        mask=padding[:, None, None, :],
        return_weights=return_weights,
    )
    if return_weights:
        result, weights = result
        assert_close(weights, expected_weights, atol=1e-5, rtol=0)
    assert_close(result, expected, atol=1e-5, rtol=0)


def test_grouped_heads_equal_repeated_heads():
    grouped, full = Attention(4 * DH, 4, n_kv_heads=2), Attention(4 * DH, 4)
    state = grouped.state_dict()
    for name in ("key.weight", "key.bias", "value.weight", "value.bias"):
        heads = state[name].unflatten(0, (2, DH))
        state[name] = heads.repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    x = torch.randn(B, T, 4 * DH)
    assert_close(grouped(x, is_causal=True), full(x, is_causal=True))


@pytest.mark.parametrize("chunks", [[1] * S, [3, 1, 1, 2], [S]])
def test_cached_equals_uncached(chunks):
    head_dim = 10
    attention = Attention(D, H, n_kv_heads=1, head_dim=head_dim)
    x, rope = torch.randn(B, S, D), RotaryPositions(S, head_dim)
    cache = KVCache(B, 1, S, head_dim)
    expected = attention(x, is_causal=True, rope=rope(torch.arange(S)))
    outputs, start = [], 0
    for size in chunks:
        positions = torch.arange(start, start + size)
        part = x[:, start : start + size]
        outputs.append(attention(part, is_causal=True, rope=rope(positions), cache=cache))
        start += size
    assert_close(torch.cat(outputs, dim=1), expected, atol=1e-5, rtol=0)


def test_cross_attention_projects_the_memory_once():
    attention, memory = Attention(D, H), torch.randn(B, S, D)
    cache, x = KVCache(B, H, S, DH), torch.randn(B, T, D)
    expected = attention(x, memory)
    calls = []
    with attention.key.register_forward_hook(lambda *_: calls.append(1)):
        outputs = [attention(x[:, i : i + 1], memory, cache=cache) for i in range(T)]
    assert_close(torch.cat(outputs, dim=1), expected, atol=1e-5, rtol=0)
    assert len(calls) == 1


def test_cache_overflow_says_what_to_do():
    attention, cache = Attention(D, H), KVCache(B, H, 5, DH)
    attention(torch.randn(B, 3, D), cache=cache)
    with pytest.raises(ValueError, match=r"3 positions écrites, 4 à ajouter, 5 places.*≥ 7"):
        attention(torch.randn(B, 4, D), cache=cache)
    with pytest.raises(ValueError, match=r"lot de 2 phrases et en reçoit 1.*batch_size=1"):
        attention(torch.randn(1, 1, D), cache=cache)
    assert cache.length == 3


def test_cache_selects_rows():
    cache = KVCache(B, H, S, DH)
    k, v = torch.randn(B, H, 3, DH), torch.randn(B, H, 3, DH)
    cache.append(k, v)
    cache.select(torch.tensor([1, 1, 0]))
    keys, values = cache.read()
    assert torch.equal(keys, k[[1, 1, 0]]) and torch.equal(values, v[[1, 1, 0]])


def test_dropout_acts_only_in_training():
    attention, x = Attention(D, H, dropout=0.5), torch.randn(B, T, D)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


def test_heads_must_share_the_dimension():
    with pytest.raises(ValueError, match=r"d_model = 31 .* n_heads = 3 têtes"):
        Attention(31, 3)
    with pytest.raises(ValueError, match=r"n_heads = 6 .* multiple de n_kv_heads = 4"):
        Attention(36, 6, n_kv_heads=4)


def test_wrong_shape_is_caught_by_the_annotations():
    q, k, v = random_qkv()
    with pytest.raises(jaxtyping.TypeCheckError, match="Type-check error"):
        scaled_dot_product(q, k, v[:, :, :-1])
    with pytest.raises(jaxtyping.TypeCheckError, match="Type-check error"):
        Attention(D, H)(torch.randn(T, D))
