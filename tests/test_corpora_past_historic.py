"""Du présent au passé simple : des phrases justes, des épreuves qui ne se recoupent pas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.corpora.sentences.past_historic import (
    IRREGULAR,
    NEW_IRREGULAR,
    NEW_OBJECTS,
    NEW_REGULAR,
    OBJECTS,
    REGULAR,
    RegularPast,
    generate_past_forms,
)


def words(forms):
    return {word.strip(".,") for form in forms for word in form.present.split()}


def test_the_conjugation_is_that_of_the_grammar():
    known = {verb.present: verb for verb in REGULAR + IRREGULAR}
    assert len(known) == len(REGULAR) + len(IRREGULAR)
    assert known["jette"].past == "jeta" and known["jette"].pasts == "jetèrent"
    assert known["lance"].past == "lança" and known["lance"].pasts == "lancèrent"
    assert known["achète"].presents == "achètent" and known["achète"].past == "acheta"
    assert known["enlève"].pasts == "enlevèrent" and known["reçoit"].past == "reçut"
    assert all(verb.past.endswith("a") and verb.pasts.endswith("èrent") for verb in REGULAR)
    assert not any(verb.past.endswith("a") for verb in IRREGULAR)
    assert all(verb.past != verb.present for verb in REGULAR + IRREGULAR)


@given(st.integers(0, 10_000))
def test_new_words_are_new(seed):
    forms = generate_past_forms(200, 40, seed)
    seen = words(forms.train)
    verbs = {verb.present: verb for verb in REGULAR + IRREGULAR}
    plural = {verb.presents: verb for verb in REGULAR + IRREGULAR}
    for kind, tests in forms.tests.items():
        assert len({form.present for form in tests}) == 40
        for form in tests:
            used = {verbs.get(w) or plural.get(w) for w in words([form])} - {None}
            assert used
            if kind == NEW_REGULAR:
                assert used <= set(REGULAR)
            if kind == NEW_IRREGULAR:
                assert used <= set(IRREGULAR)
            if kind != NEW_OBJECTS:
                assert not {v.present for v in used} & seen
                assert not {v.presents for v in used} & seen
            objects = [name for name in OBJECTS if name in form.present]
            assert not any(name in other.present for name in objects for other in forms.train)


def test_the_draw_is_the_same_for_a_seed_and_its_prompt_is_readable():
    forms = generate_past_forms(30, 5, 3)
    assert forms == generate_past_forms(30, 5, 3)
    assert forms != generate_past_forms(30, 5, 4)
    first = forms.train[0]
    assert first.prompt == f"Présent : {first.present}\nPassé :"
    assert first.completion == f" {first.past}\n"
    assert all(form.present[0].isupper() for form in forms.train)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_train": 0}, "n_train = 0 : il faut au moins une phrase"),
        ({"n_new": 1}, r"n_new = 1 : gardez de 2 à \d+ mots"),
        ({"n_test": 6_000, "n_new": 2}, "6000 phrases différentes"),
    ],
)
def test_impossible_draws_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        generate_past_forms(**options)


def test_the_rule_knows_regular_verbs_only():
    forms = generate_past_forms(300, 120, 0)
    rewrite = RegularPast(forms.train)
    share = {
        kind: sum(rewrite(f.present) == f.past for f in tests) / len(tests)
        for kind, tests in forms.tests.items()
    }
    assert share[NEW_IRREGULAR] == 0 < share[NEW_REGULAR]
    assert rewrite("Il brouette le violon.") == "Il brouetta le violon."
    assert rewrite("Ils brouettent le violon.") == "Ils brouettèrent le violon."
