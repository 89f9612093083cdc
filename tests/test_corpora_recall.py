"""Les correspondances : couples permis, couples mis de côté, hasard exact."""

import math
from collections import Counter

import pytest

from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.recall import (
    FORMS,
    KEYS,
    MAX_PAIRS,
    VALUES,
    chance_level,
    draw_pairs,
    generate_prompts,
    generate_recall,
    is_held_out,
    write_recall,
)


def pairs_of(words):
    return list(zip(words[::2], words[1::2], strict=True))


def test_vocabulary_has_two_disjoint_lists():
    assert len(set(KEYS)) == len(KEYS) == len(VALUES) == len(set(VALUES)) == 48
    assert not set(KEYS) & set(VALUES)


def test_every_word_is_held_out_nine_times():
    held_out = [(k, v) for k in KEYS for v in VALUES if is_held_out(k, v)]
    assert set(Counter(k for k, _ in held_out).values()) == {9}
    assert set(Counter(v for _, v in held_out).values()) == {9}


def test_training_texts_never_show_a_held_out_pair():
    for text in generate_recall(500):
        assert not any(is_held_out(*pair) for pair in pairs_of(text.words))


def test_each_answer_is_determined_by_what_precedes():
    for text in generate_recall(300, seed=1):
        first = text.answers[0] // 2
        mapping = dict(pairs_of(text.words[: 2 * first]))
        assert len(mapping) == len(set(mapping.values())) == first <= 8
        assert len(text.answers) == 8
        for rank in text.answers:
            assert text.words[rank] == mapping[text.words[rank - 1]]


def test_probability_counted_by_hand():
    text = write_recall(Draw(5), max_pairs=1, n_queries=3)
    assert text.log_prob == pytest.approx(-math.log(48 * 39))  # une clé, une valeur permise
    assert text.text == " ".join(text.words[:2] * 4)


def test_a_full_table_still_has_allowed_values():
    for seed in range(20):
        pairs = draw_pairs(Draw(seed), MAX_PAIRS)
        assert len(set(pairs)) == MAX_PAIRS


@pytest.mark.parametrize("queries", ["known", "held_out"])
@pytest.mark.parametrize("n", [1, 2, 7, 31])
def test_direct_prompts(queries, n):
    ranks = Counter()
    for prompt in generate_prompts(200, n, queries):
        shown = pairs_of(prompt.words[:-1])
        assert len(shown) == n
        assert dict(shown)[prompt.words[-1]] == prompt.answer
        held_out = [pair for pair in shown if is_held_out(*pair)]
        expected = [(prompt.words[-1], prompt.answer)] if queries == "held_out" else []
        assert held_out == expected
        ranks[shown.index((prompt.words[-1], prompt.answer))] += 1
    if n <= 7:  # le couple demandé peut être montré à tout rang
        assert set(ranks) == set(range(n))


@pytest.mark.parametrize("queries", ["known", "held_out"])
def test_without_example_nothing_is_shown(queries):
    for prompt in generate_prompts(50, 0, queries):
        assert len(prompt.words) == 1
        assert is_held_out(prompt.words[0], prompt.answer) == (queries == "held_out")


def test_reversed_prompts_ask_for_the_key():
    for prompt in generate_prompts(100, 5, form="reversed"):
        shown = dict(pairs_of(prompt.words[:-1]))
        assert shown[prompt.words[-1]] == prompt.answer
        assert prompt.answer in KEYS and prompt.words[-1] in VALUES


def test_two_word_keys_need_both_words():
    seen = Counter()
    for prompt in generate_prompts(200, 8, form="two_words"):
        shown, asked = prompt.words[:-2], prompt.words[-2:]
        triples = [shown[i : i + 3] for i in range(0, len(shown), 3)]
        assert [t[2] for t in triples if t[:2] == asked] == [prompt.answer]
        assert sum(t[1] == asked[1] for t in triples) == prompt.shared
        seen[prompt.shared] += 1
    assert max(seen) >= 3  # le dernier mot ne suffit donc pas


def test_keys_only_prompts():
    for prompt in generate_prompts(100, 4, form="keys_only"):
        assert set(prompt.words) | {prompt.answer} <= set(KEYS)
        assert dict(pairs_of(prompt.words[:-1]))[prompt.words[-1]] == prompt.answer


def test_chance_is_what_a_blind_reader_gets():
    assert chance_level(0) == pytest.approx(1 / 39)
    n, n_prompts = 5, 2000
    prompts = generate_prompts(n_prompts, n)
    hits = sum(prompt.words[1] == prompt.answer for prompt in prompts)  # la première valeur
    error = math.sqrt(0.2 * 0.8 / n_prompts)
    assert abs(hits / n_prompts - chance_level(n)) < 4 * error


def test_same_seed_same_texts():
    assert generate_recall(20, seed=3) == generate_recall(40, seed=3)[:20]
    assert generate_recall(20, seed=3) != generate_recall(20, seed=4)
    assert generate_prompts(9, 4, seed=1) != generate_prompts(9, 4, seed=2)


def test_refusals():
    with pytest.raises(ValueError, match=f"de 0 à {MAX_PAIRS}"):
        draw_pairs(Draw(0), MAX_PAIRS + 1)
    with pytest.raises(ValueError, match=r"queries reçu : 'all'.*« known »"):
        generate_prompts(3, 2, "all")
    with pytest.raises(ValueError, match="form reçu : 'mirror'"):
        generate_prompts(3, 2, form="mirror")
    for form in FORMS[1:]:
        with pytest.raises(ValueError, match="sans exemple"):
            generate_prompts(3, 0, form=form)
    with pytest.raises(ValueError, match="-1"):
        generate_recall(-1)
