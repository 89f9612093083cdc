"""Les phrases jumelles devant un modèle : bons rangs, bonnes lectures coupées, bons tableaux."""

import numpy as np
import pytest
import torch

from course_experiments import referents
from course_lib.corpora.sentences.referents import TWIN_SENTENCES, TwinSentences
from course_lib.tokenization import WordTokenizer
from course_lib.transformer import LlamaConfig, llama

TWINS = TWIN_SENTENCES[:3]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [pair.named(i, j) for pair in TWINS for i in (0, 1) for j in (0, 1)]
    return WordTokenizer.train(
        [*texts, *(pair.sentence(a) for pair in TWINS for a in pair.adjectives)]
    )


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    model = llama(LlamaConfig(tokenizer.vocab_size, 41, 30, 3, 5)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def words(tokenizer, passage, ranks):
    return [tokenizer.tokens[passage.ids[rank]] for rank in ranks]


def test_the_words_that_count_are_found(tokenizer):
    for pair in TWINS:
        for adjective in pair.adjectives:
            one = referents.read_it_sentence(pair, adjective, tokenizer)
            assert [words(tokenizer, one.passage, noun) for noun in one.nouns] == [
                [noun] for noun in pair.nouns
            ]
            assert words(tokenizer, one.passage, [one.it]) == ["it"]
            assert words(tokenizer, one.passage, one.adjective) == [adjective]


def test_a_noun_written_twice_in_the_beginning_is_not_confused(tokenizer):
    pair = TwinSentences("The cat didn't see the cat", ("cat", "cat"), ("old", "high"))
    learned = WordTokenizer.train([pair.sentence("old")])
    one = referents.read_it_sentence(pair, "old", learned)
    assert one.nouns[0] != one.nouns[1]


def test_scores_are_those_of_the_sentence_alone(model, tokenizer):
    """Les phrases d’un lot ne se gênent pas ; la suite est notée sachant tout ce qui précède."""
    scores = referents.substitution(model, tokenizer, TWINS)
    assert scores.shape == (3, 2, 2)
    text = TWINS[1].named(1, 0)
    ids = tokenizer.encode(text)
    with torch.no_grad():
        log_probs = model(torch.tensor([ids]))[0].log_softmax(-1)
    start = len(tokenizer.encode(text[: text.rindex(" was too")]))
    expected = sum(float(log_probs[i - 1, ids[i]]) for i in range(start, len(ids)))
    assert scores[1, 1, 0] == pytest.approx(expected, abs=1e-4)
    assert not np.allclose(scores, referents.substitution(model, tokenizer, TWINS, context=False))


def test_hiding_acts_only_after_the_pronoun(model, tokenizer):
    losses = referents.hiding(model, tokenizer, TWINS)
    assert losses.shape == (3, 2, 2) and np.abs(losses).min() > 0
    one = referents.read_it_sentence(TWINS[0], TWINS[0].adjectives[1], tokenizer)
    whole, cut = (
        referents.log_probs(model, [one.passage], [one.adjective], hidden)
        for hidden in (None, [(one.nouns[1], one.it)])
    )
    assert losses[0, 1, 1] == pytest.approx(float((whole - cut)[0]), abs=1e-5)
    before = [list(range(1, one.it + 1))]  # prédits avant que « it » ne soit lu : rien n’y change
    pair = [
        referents.log_probs(model, [one.passage], before, hidden)
        for hidden in (None, [(one.nouns[1], one.it)])
    ]
    assert pair[0] == pytest.approx(pair[1], abs=1e-6)


def test_preference_and_interaction():
    scores = np.array([[[-1.0, -9.0], [-4.0, -2.0]]])  # [paire, nom, adjectif]
    assert referents.preference(scores).tolist() == [[3.0, 7.0]]
    assert referents.interaction(scores).tolist() == [10.0]
    # Un nom toujours plus probable ne change pas l’interaction.
    assert referents.interaction(scores + np.array([[[5.0], [0.0]]])).tolist() == [10.0]


def test_attention_is_read_at_the_adjective(model, tokenizer):
    weights = referents.attention_to_nouns(model, tokenizer, TWINS)
    assert weights.shape == (3, 5, 3, 2, 2)
    assert (weights > 0).all() and (weights.sum(axis=3) < 1).all()
    one = referents.read_it_sentence(TWINS[2], TWINS[2].adjectives[0], tokenizer)
    from course_lib.interpretation import attention_maps

    maps = attention_maps(model, torch.tensor([one.passage.ids]))["decoder"]
    expected = maps[1][0, 4, one.adjective[-1], one.nouns[1]].sum()
    assert weights[1, 4, 2, 1, 0] == pytest.approx(float(expected), abs=1e-6)
