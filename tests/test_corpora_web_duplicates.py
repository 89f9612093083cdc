"""Doublons exacts, MinHash et LSH : comparés à leurs définitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.cleaning import minhash
from course_lib.cleaning.exact import exact_duplicates, fingerprint, words_of


def test_words_ignore_case_punctuation_and_ligatures():
    assert words_of("L’Été, c'est   ﬁni !") == ["l", "été", "c", "est", "fini"]
    assert fingerprint("Il pleut. Fort !") == fingerprint("IL PLEUT — fort")
    assert fingerprint("il pleut") != fingerprint("il pleuvait")


def test_first_of_each_text():
    assert exact_duplicates(["a b", "c", "A, B!", "c d", "C."]) == [0, 1, 0, 3, 1]
    assert exact_duplicates([]) == []


@given(st.lists(st.text(alphabet="ab ,", max_size=5), max_size=12))
def test_exact_duplicates_match_pairwise_comparison(texts):
    expected = [
        next(j for j in range(i + 1) if words_of(texts[j]) == words_of(texts[i]))
        for i in range(len(texts))
    ]
    assert exact_duplicates(texts) == expected


def overlapping_texts(n_common, n_own):
    """Deux suites de mots tous différents, dont les n_common premiers sont communs."""
    common = [f"c{i}" for i in range(n_common)]
    return [" ".join(common + [f"{side}{i}" for i in range(n_own)]) for side in "ab"]


def test_exact_jaccard_by_hand():
    # suites de 2 mots : {ab, bc, cd} et {ab, bc, ce} : 2 communes sur 4
    assert minhash.jaccard("a b c d", "a b c e", size=2) == 0.5
    assert minhash.jaccard("un deux", "un deux", size=5) == 1.0
    assert minhash.jaccard("", "", size=5) == 1.0


@pytest.mark.parametrize(("n_common", "n_own"), [(13, 97), (61, 31), (101, 7)])
def test_minhash_estimate_is_unbiased_within_binomial_error(n_common, n_own):
    texts = overlapping_texts(n_common, n_own)
    truth = n_common / (n_common + 2 * n_own)  # mots isolés
    assert minhash.jaccard(*texts, size=1) == pytest.approx(truth)
    n_hashes = 4001
    first, second = minhash.signatures(texts, n_hashes, size=1, seed=3)
    error = (truth * (1 - truth) / n_hashes) ** 0.5
    assert np.mean(first == second) == pytest.approx(truth, abs=4 * error)


def test_signatures_do_not_depend_on_neighbours(monkeypatch):
    texts = [f"mot{i} autre{i % 7} encore fin" for i in range(23)]
    together = minhash.signatures(texts, 17, size=2)
    monkeypatch.setattr(minhash, "_CHUNK", 5)
    assert np.array_equal(together, minhash.signatures(texts, 17, size=2))
    assert np.array_equal(together[11:12], minhash.signatures(texts[11:12], 17, size=2))
    assert not np.array_equal(together, minhash.signatures(texts, 17, size=2, seed=1))


def test_collision_probability_by_hand():
    assert minhash.collision_probability(0.5, 2, 1) == pytest.approx(0.75)
    assert minhash.collision_probability([0, 1], 7, 3) == pytest.approx([0, 1])


@pytest.mark.parametrize(("n_common", "n_own"), [(40, 60), (60, 40), (80, 20)])
def test_lsh_follows_its_curve(n_common, n_own):
    """401 tirages de la signature : la part des rencontres suit 1 − (1 − s^r)^b."""
    texts = overlapping_texts(n_common, n_own)
    similarity = n_common / (n_common + 2 * n_own)
    n_bands, n_rows, trials = 5, 3, 401
    both = minhash.signatures(texts, trials * n_bands * n_rows, size=1, seed=11)
    met = sum(
        len(minhash.candidate_pairs(part, n_bands, n_rows))
        for part in np.split(both, trials, axis=1)
    )
    expected = float(minhash.collision_probability(similarity, n_bands, n_rows))
    error = (expected * (1 - expected) / trials) ** 0.5
    assert met / trials == pytest.approx(expected, abs=4 * error)


def test_candidates_share_a_band():
    signature = np.array([[1, 2, 3, 4], [9, 9, 3, 4], [1, 2, 8, 8], [1, 7, 7, 4]], dtype=np.uint32)
    assert minhash.candidate_pairs(signature, 2, 2).tolist() == [[0, 1], [0, 2]]
    assert len(minhash.candidate_pairs(signature[:0], 2, 2)) == 0


def test_groups_close_step_by_step():
    words = [f"m{i}" for i in range(60)]
    chain = [" ".join(words[shift : shift + 40]) for shift in (0, 5, 10)]
    other = " ".join(f"z{i}" for i in range(40))
    assert minhash.near_duplicates([other, *chain, other]) == [0, 1, 1, 1, 0]
    assert minhash.near_duplicates(chain, min_similarity=1.0) == [0, 1, 2]
    assert minhash.near_duplicates([]) == []


def test_impossible_settings():
    with pytest.raises(ValueError, match="au moins un mot"):
        minhash.ShingleHasher(0)
    with pytest.raises(ValueError, match="n_hashes = 0"):
        minhash.signatures(["a"], 0)
    with pytest.raises(ValueError, match="12 places : 5 bandes de 3 lignes en demandent 15"):
        minhash.candidate_pairs(np.zeros((2, 12), dtype=np.uint32), 5, 3)
    with pytest.raises(ValueError, match="min_similarity = 2"):
        minhash.near_duplicates(["a"], min_similarity=2)


def test_shingles_respect_word_order():
    hasher = minhash.ShingleHasher(3)
    assert len(hasher("un deux trois quatre cinq")) == 3
    assert hasher("un deux trois")[0] != hasher("trois deux un")[0]
    assert len(hasher("un")) == 1
