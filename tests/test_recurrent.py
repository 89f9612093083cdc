"""Réseaux récurrents : pas à pas = d'un trait, remplissage sans effet, apprentissage, erreurs."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from course_lib.recurrent import RecurrentLM, RecurrentSeq2Seq

CELLS = ["gru", "lstm"]


def random_ids(n_texts, n_tokens, vocab_size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, vocab_size, (n_texts, n_tokens), generator=generator)


def make_lm(cell="lstm", **options):
    torch.manual_seed(3)
    return RecurrentLM(13, 5, 7, cell=cell, **options)


def make_seq2seq(cell="lstm", attention=True, **options):
    torch.manual_seed(3)
    return RecurrentSeq2Seq(13, 17, 5, 7, cell, attention, **options)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tie_weights", [True, False])
def test_lm_step_by_step_equals_full(cell, tie_weights):
    model, ids = make_lm(cell, n_layers=2, tie_weights=tie_weights), random_ids(3, 11, 13)
    state, steps = None, []
    for t in range(11):
        logits, state = model.advance(ids[:, t : t + 1], state)
        steps.append(logits)
    assert_close(torch.cat(steps, 1), model(ids))
    assert_close(model.head(model.hidden(ids)), model(ids))


def test_lm_is_causal_so_padding_on_the_right_has_no_effect():
    model, ids = make_lm(), random_ids(2, 11, 13)
    padded = F.pad(ids, (0, 5))
    assert_close(model(padded)[:, :11], model(ids))


def test_lm_ties_its_weights():
    model = make_lm()
    assert model.head.weight is model.embedding.weight
    free = make_lm(tie_weights=False)
    assert free.head.weight.shape == (13, 7)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("attention", [True, False])
def test_seq2seq_padding_has_no_effect(cell, attention):
    model = make_seq2seq(cell, attention, n_layers=2)
    short, long = random_ids(1, 4, 13), random_ids(1, 11, 13, seed=1)
    target = random_ids(2, 5, 17, seed=2)
    batch = torch.cat([F.pad(short, (0, 7)), long])
    together = model(batch, target)
    assert_close(together[:1], model(short, target[:1]))
    assert_close(together[1:], model(long, target[1:]))
    assert_close(model(F.pad(batch, (0, 3)), target), together)
    assert_close(model(batch, F.pad(target, (0, 3)))[:, :5], together)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("attention", [True, False])
def test_seq2seq_step_by_step_equals_full(cell, attention):
    model = make_seq2seq(cell, attention)
    source, target = random_ids(3, 7, 13), random_ids(3, 5, 17)
    memory, state, steps = model.encode(source), None, []
    for t in range(5):
        logits, state = model.advance(target[:, t : t + 1], memory, state)
        steps.append(logits)
    assert_close(torch.cat(steps, 1), model(source, target))
    assert_close(model.decode(target, memory), model(source, target))
    assert_close(model.head(model.hidden(source, target)), model(source, target))


def test_attention_weights_are_a_distribution_over_real_tokens():
    source = F.pad(random_ids(2, 7, 13), (0, 4))
    model = make_seq2seq()
    memory = model.encode(source)
    _, weights = model.attention(torch.randn(2, 5, memory.outputs.shape[-1]), memory)
    assert weights.shape == (2, 5, 11)
    assert_close(weights.sum(-1), torch.ones(2, 5))
    assert (weights[:, :, 7:] == 0).all()


@pytest.mark.parametrize("attention", [True, False])
def test_attention_is_what_lets_the_source_reach_the_output(attention):
    # Changer les vecteurs de la source, l'état final gardé, ne change la sortie qu'avec attention.
    model = make_seq2seq(attention=attention)
    source, target = random_ids(2, 7, 13), random_ids(2, 5, 17)
    memory = model.encode(source)
    changed = memory._replace(outputs=memory.outputs.flip(1) + 1)
    same = torch.allclose(model.decode(target, memory), model.decode(target, changed))
    assert same is not attention


def test_it_learns_to_copy():
    # Sur vingt graines (poids et textes), sans AVX, avec AVX2 et AVX-512 : 28 pas au plus.
    torch.manual_seed(3)
    model = RecurrentSeq2Seq(13, 17, 16, 32, "gru")
    source = random_ids(11, 3, 13)
    target_in, target_out = F.pad(source[:, :-1], (1, 0), value=13), source
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = F.cross_entropy(model(source, target_in).flatten(0, 1), target_out.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(source, target_in).argmax(-1) == target_out).all()


def test_errors():
    with pytest.raises(ValueError, match="cell='rnn' est inconnu"):
        make_lm("rnn")
    with pytest.raises(ValueError, match="n_layers=0"):
        make_lm(n_layers=0)
    with pytest.raises(ValueError, match="dropout=1"):
        make_lm(dropout=1)
    with pytest.raises(ValueError, match="vocab_size=0"):
        RecurrentLM(0, 5, 7)
    with pytest.raises(ValueError, match="ids contient des ids de 13 à 13"):
        make_lm()(torch.tensor([[13]]))
    with pytest.raises(TypeError, match="doit contenir des entiers"):
        make_lm()(torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"reçu \(3,\)"):
        make_lm()(torch.tensor([1, 2, 3]))
    model, target = make_seq2seq(), torch.tensor([[1, 2]])
    for source in ([[0, 1]], [[1, 0, 2]], [[0, 0]]):
        with pytest.raises(ValueError, match="remplissage"):
            model(torch.tensor(source), target)
    with pytest.raises(ValueError, match="La cible a 2 textes et la source 1"):
        model(torch.tensor([[1]]), torch.tensor([[1], [2]]))
