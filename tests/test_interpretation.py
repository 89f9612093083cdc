"""Les crochets : ils montrent les poids, coupent des lectures, greffent, et partent."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.interpretation import (
    at_positions,
    attention_layers,
    attention_maps,
    masked_edges,
    patched_activations,
    record_activations,
    recorded_attention,
)
from course_lib.transformer import (
    GPT2Config,
    LlamaConfig,
    OriginalTransformerConfig,
    gpt2,
    llama,
    original_encoder,
    original_transformer,
)

B, T, S, V, VT = 2, 5, 7, 23, 19
CONFIG = OriginalTransformerConfig(V, VT, 31, 15, 2, 3, 5, 37, norm_first=True)


@pytest.fixture
def translator():
    return randomized(original_transformer(CONFIG))


@pytest.fixture
def encoder():
    return randomized(original_encoder(CONFIG))


def randomized(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def random_ids(length=S, vocab_size=V, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, vocab_size, (B, length), generator=generator)


def n_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_maps_are_labelled_and_have_one_tensor_per_layer(translator):
    maps = attention_maps(translator, random_ids(), random_ids(T, VT))
    assert list(maps) == ["encoder", "decoder", "cross"]
    assert [tuple(m.shape) for m in maps["encoder"]] == [(B, 5, S, S)] * 2
    assert [tuple(m.shape) for m in maps["decoder"]] == [(B, 5, T, T)] * 3
    assert [tuple(m.shape) for m in maps["cross"]] == [(B, 5, T, S)] * 3
    for weights in itertools.chain(*maps.values()):
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert torch.stack(maps["decoder"]).triu(1).abs().max() == 0


@pytest.mark.parametrize(
    "model", [gpt2(GPT2Config(V, 31, 14, 2, 7)), llama(LlamaConfig(V, 31, 24, 2, 6, 2))]
)
def test_maps_of_decoders(model):
    maps = attention_maps(model.eval(), random_ids())
    assert list(maps) == ["decoder"] and len(maps["decoder"]) == 2


def test_looking_does_not_change_the_answer(translator):
    source, target = random_ids(), random_ids(T, VT)
    expected = translator(source, target)
    with recorded_attention(translator):
        assert_close(translator(source, target), expected, atol=1e-5, rtol=0)


def test_masked_edge_is_zero_and_its_row_renormalised(encoder):
    ids = random_ids()
    free = attention_maps(encoder, ids)["encoder"][0]
    with masked_edges(encoder, [(2, 4), (2, 5)], layers=[0]):
        cut = attention_maps(encoder, ids)["encoder"][0]
    expected = free.clone()
    expected[:, :, 2, 4:6] = 0.0
    expected = expected / expected.sum(-1, keepdim=True)
    assert_close(cut, expected, atol=1e-5, rtol=0)


def test_edges_can_differ_between_sentences(encoder):
    ids, edges = random_ids(), torch.zeros(B, S, S, dtype=torch.bool)
    edges[0, 2, 4] = edges[1, 3, 1] = True
    with masked_edges(encoder, edges):
        together = encoder(ids)
    for row, pair in enumerate([(2, 4), (3, 1)]):
        with masked_edges(encoder, [pair]):
            assert_close(encoder(ids[row : row + 1])[0], together[row], atol=1e-5, rtol=0)
    assert not torch.allclose(together, encoder(ids))


def test_only_the_chosen_head_is_masked(encoder):
    ids = random_ids()
    with masked_edges(encoder, [(2, 4)], layers=[0], heads=[3]):
        weights = attention_maps(encoder, ids)["encoder"][0][:, :, 2, 4]
    assert (weights == 0).tolist() == [[False, False, False, True, False]] * B


def test_masking_respects_causality_padding_and_kind(translator):
    source, target = random_ids(), random_ids(T, VT)
    source[0, -2:] = 0
    with masked_edges(translator, [(3, 1)], kind="decoder"):
        decoder = attention_maps(translator, source, target)
    with masked_edges(translator, [(3, 1)], kind="cross"):
        cross = attention_maps(translator, source, target)
    assert torch.stack(decoder["decoder"])[..., 3, 1].max() == 0
    assert torch.stack(decoder["decoder"]).triu(1).max() == 0
    assert torch.stack(decoder["cross"])[..., 3, 1].min() > 0
    assert torch.stack(cross["cross"])[..., 3, 1].max() == 0
    assert torch.stack(cross["cross"])[:, 0, ..., -2:].max() == 0
    assert torch.stack(cross["decoder"])[..., 3, 1].min() > 0


def test_a_token_cut_from_everything_has_no_influence(encoder):
    ids = random_ids()
    changed = ids.clone()
    changed[:, 4] = changed[:, 4] % (V - 1) + 1
    others = [q for q in range(S) if q != 4]
    with masked_edges(encoder, [(q, 4) for q in others]):
        assert_close(encoder(ids)[:, others], encoder(changed)[:, others], atol=1e-6, rtol=0)


def test_patching_everything_gives_the_other_run(translator):
    source, twin, target = random_ids(), random_ids(seed=2), random_ids(T, VT)
    with record_activations(translator, ["encoder"]) as recorded:
        expected = translator(twin, target)
    with patched_activations(translator, recorded):
        assert_close(translator(source, target), expected)
    assert not torch.allclose(translator(source, target), expected)


@pytest.mark.parametrize("positions", [[1, 3], torch.eye(S).bool()[[1, 3]].any(0).expand(B, S)])
def test_patching_touches_only_the_chosen_positions(translator, positions):
    source, twin = random_ids(), random_ids(seed=2)
    memory = translator.encode(source)
    with record_activations(translator, ["encoder"]) as recorded:
        translator.encode(twin)
    with patched_activations(translator, recorded, positions):
        patched = translator.encode(source)
    expected = memory.clone()
    expected[:, [1, 3]] = recorded["encoder"][:, [1, 3]]
    assert torch.equal(patched, expected)


def test_one_position_per_sentence():
    expected = torch.tensor([[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]).bool()
    assert torch.equal(at_positions([3, 1], T), expected)


@pytest.mark.parametrize(
    "enter",
    [
        lambda model: recorded_attention(model),
        lambda model: masked_edges(model, [(0, 1)], kind="cross"),
        lambda model: record_activations(model, ["encoder", "decoder.blocks.0"]),
        lambda model: patched_activations(model, {"encoder": torch.zeros(B, S, 15)}),
    ],
)
def test_hooks_are_removed_even_after_an_error(translator, enter):
    with pytest.raises(RuntimeError, match="panne"), enter(translator):
        assert n_hooks(translator) > 0
        raise RuntimeError("panne")
    assert n_hooks(translator) == 0


def test_masking_works_with_a_cache():
    model, ids = randomized(llama(LlamaConfig(V, 31, 24, 2, 6, 2))), random_ids()
    with masked_edges(model, [(S - 1, 1)]):
        expected = model(ids)[:, -1]
    cache = model.new_cache(B, S)
    model(ids[:, :-1], cache=cache)
    with masked_edges(model, [(0, 1)]):  # la requête 0 de cette passe est la dernière du texte
        assert_close(model(ids[:, -1:], cache=cache)[:, -1], expected, atol=1e-5, rtol=0)


def test_mistakes_are_explained(translator, encoder):
    ids = random_ids()
    with pytest.raises(ValueError, match=r"'self' .* encoder, decoder, cross"):
        masked_edges(translator, [(0, 1)]).__enter__()
    with pytest.raises(ValueError, match=r"L’étage 2 n’existe pas.* de 0 à 1"):
        masked_edges(encoder, [(0, 1)], layers=[2]).__enter__()
    with masked_edges(encoder, [(0, S)]), pytest.raises(ValueError, match="La clé 7 n’existe pas"):
        encoder(ids)
    with (
        masked_edges(encoder, torch.zeros(T, T).bool()),
        pytest.raises(ValueError, match=r"forme \(5, 5\).*\(7, 7\)"),
    ):
        encoder(ids)
    with masked_edges(encoder, [(0, 1)], heads=[5]), pytest.raises(ValueError, match="La tête 5"):
        encoder(ids)
    with pytest.raises(ValueError, match=r"pas de module .*encodeur"):
        record_activations(translator, ["encodeur"]).__enter__()
    with (
        patched_activations(encoder, {"norm": torch.zeros(B, T, 15)}),
        pytest.raises(ValueError, match="même longueur"),
    ):
        encoder(ids)
    with pytest.raises(TypeError, match="Je ne sais pas ouvrir un Linear"):
        attention_layers(nn.Linear(3, 5))
