"""Du « tu » au « vous » : les épreuves sont nouvelles, et le dictionnaire a ses limites."""

import pytest

from course_lib.corpora.sentences.polite_forms import (
    NEW_OBJECTS,
    NEW_VERBS,
    OBJECTS,
    SAME_VERB,
    VERBS,
    WordByWord,
    generate_polite_forms,
)


@pytest.fixture(scope="module")
def forms():
    return generate_polite_forms(n_train=300, n_test=101, seed=3)


def words(sentences):
    return {word.strip(".,?") for sentence in sentences for word in sentence.split()}


def test_what_is_new_was_never_seen(forms):
    seen = words(form.familiar for form in forms.train)
    for tests in forms.tests.values():
        assert len({form.familiar for form in tests}) == 101
        assert not {f.familiar for f in tests} & {f.familiar for f in forms.train}
        used = words(form.familiar for form in tests)
        nouns = {noun.split()[0] for _, noun in OBJECTS}
        assert used & nouns and not used & nouns & seen
    verbs = {tu for _, tu, _ in VERBS}
    assert words(f.familiar for f in forms.tests[NEW_VERBS]) & verbs & seen == set()
    assert words(f.familiar for f in forms.tests[NEW_OBJECTS]) & verbs <= seen


def test_the_vous_form_says_vous_and_nothing_familiar(forms):
    for form in forms.train:
        assert not words([form.polite]) & {"tu", "Tu", "ton", "ta", "tes", "toi", "dis-le-moi"}
        assert words([form.polite]) & {"vous", "Vous"}
        assert form.completion == f" {form.polite}\n" and form.prompt.endswith("\nVous :")
        assert "je a" not in form.familiar and "je o" not in form.familiar


def test_the_same_verb_is_written_twice(forms):
    for form in forms.tests[SAME_VERB]:
        assert form.same_verb
        read = form.familiar.replace("'", " ").split()
        assert any(read.count(tu) == 2 for _, tu, _ in VERBS)


def test_a_dictionary_knows_its_words_but_cannot_read(forms):
    rewrite = WordByWord(forms.train)

    def share(tests):
        return sum(rewrite(form.familiar) == form.polite for form in tests) / len(tests)

    easy = [form for form in forms.tests[NEW_OBJECTS] if not form.same_verb]
    assert share(easy) > 0.95
    assert share(forms.tests[SAME_VERB]) < 0.5
    assert rewrite("Tu ranges ton vélo.").split()[0] == "Vous"
    assert rewrite("Est-ce que tu chantes ?") == "Est-ce que vous chantez ?"


def test_the_same_seed_gives_the_same_sentences():
    assert generate_polite_forms(30, 7, seed=1) == generate_polite_forms(30, 7, seed=1)
    assert generate_polite_forms(30, 7, seed=1) != generate_polite_forms(30, 7, seed=2)


@pytest.mark.slow
def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="n_train = 0 : il faut au moins une phrase"):
        generate_polite_forms(n_train=0)
    with pytest.raises(ValueError, match="n_new_verbs = 35 : gardez de 2 à 34 mots"):
        generate_polite_forms(n_new_verbs=35)
    with pytest.raises(ValueError, match="phrases différentes pour « objets nouveaux »"):
        generate_polite_forms(10, 800, n_new_verbs=2, n_new_objects=2)
