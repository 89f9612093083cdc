"""N-grammes de Kneser-Ney : lois propres, exemple calculé à la main, erreurs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.ngram import KneserNeyModel

VOCAB = 7
sequences = st.lists(st.lists(st.integers(0, VOCAB - 1), max_size=9), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(sequences=sequences, order=st.integers(1, 5), context=st.lists(st.integers(0, VOCAB - 1)))
def test_distributions_are_proper(sequences, order, context):
    if not any(sequences):
        return
    model = KneserNeyModel(order, VOCAB).fit(sequences)
    probabilities = model.next_distribution(context)
    assert probabilities.shape == (VOCAB,)
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(sequences=sequences, order=st.integers(1, 4), text=st.lists(st.integers(0, 6), max_size=8))
def test_log_probs_follow_next_distribution(sequences, order, text):
    if not any(sequences):
        return
    model = KneserNeyModel(order, VOCAB).fit(sequences)
    expected = [np.log(model.next_distribution(text[:t])[word]) for t, word in enumerate(text)]
    np.testing.assert_allclose(model.log_probs(text), expected, atol=1e-12)


def test_bigram_by_hand():
    # Jetons : 0 = bos, 1 = a, 2 = b. Suites « a b a » et « a b b », remise 1/2.
    # Bigrammes : (bos a) 2, (a b) 2, (b a) 1, (b b) 1.
    # Prédécesseurs : a après {bos, b} → 2 ; b après {a, b} → 2 ; total 4, deux types.
    model = KneserNeyModel(2, 3, bos_id=0, discount=0.5).fit([[1, 2, 1], [1, 2, 2]])
    rest = 0.5 * 2 / 4  # masse laissée à la loi uniforme
    unigram = np.array([rest / 3, 1.5 / 4 + rest / 3, 1.5 / 4 + rest / 3])
    np.testing.assert_allclose(
        model.next_distribution([1]),
        [0.25 * unigram[0], 0.25 * unigram[1], 0.75 + 0.25 * unigram[2]],
    )
    np.testing.assert_allclose(
        model.next_distribution([2]), np.array([0, 0.25, 0.25]) + 0.5 * unigram
    )
    np.testing.assert_allclose(model.next_distribution([]), np.array([0, 0.75, 0]) + 0.25 * unigram)
    assert model.n_entries == 4 + 2


def test_discount_is_estimated_from_counts_of_counts():
    # Ordre 1 : trois jetons vus une fois, deux vus deux fois : 3 / (3 + 2 × 2).
    model = KneserNeyModel(1, 9).fit([[2, 3, 4, 5, 5, 6, 6, 7, 7, 7]])
    assert model.discounts == [pytest.approx(3 / 7)]


def test_real_counts_at_the_top_and_continuations_below():
    # « 3 » suit toujours « 2 » (cinq fois) ; « 4 » une fois « 5 », une fois « 6 ».
    corpus = [[2, 3]] * 5 + [[5, 4], [6, 4]]
    model = KneserNeyModel(2, 8, discount=0.5).fit(corpus)
    unseen_context = model.next_distribution([7])
    assert unseen_context[4] > unseen_context[3]
    assert (
        KneserNeyModel(1, 8, discount=0.5).fit(corpus).next_distribution([])[3] > unseen_context[3]
    )


def test_large_vocabulary_and_perplexity():
    corpus = [[99_991, 99_989, 99_971] * 4] * 3
    model = KneserNeyModel(5, 100_003).fit(corpus)
    assert model.perplexity(corpus) == pytest.approx(np.exp(-model.log_probs(corpus[0]).mean()))
    assert model.perplexity(corpus) < 3


def test_errors():
    with pytest.raises(ValueError, match="order=0"):
        KneserNeyModel(0, 5)
    with pytest.raises(ValueError, match="bos_id=5 doit être compris entre 0 et 4"):
        KneserNeyModel(2, 5, bos_id=5)
    with pytest.raises(ValueError, match="discount=1"):
        KneserNeyModel(2, 5, discount=1)
    with pytest.raises(ValueError, match="vocab_size=0"):
        KneserNeyModel(2, 0)
    model = KneserNeyModel(2, 5)
    with pytest.raises(ValueError, match="appelez d’abord fit"):
        model.log_probs([1])
    with pytest.raises(ValueError, match="Aucun jeton à compter"):
        model.fit([[], []])
    with pytest.raises(ValueError, match="entre 0 et 4 ; reçu de 1 à 5"):
        model.fit([[1, 5]])
    with pytest.raises(TypeError, match="ids entiers"):
        model.fit([[1.5]])
    model.fit([[1, 2]])
    with pytest.raises(ValueError, match="Aucun jeton à évaluer"):
        model.perplexity([[]])
    assert model.log_probs([]).shape == (0,)
