"""Les textes réels du cours : phrases jumelles et textes parallèles, sans doublon ni coquille."""

import pytest

from course_lib.corpora.sentences.parallel_texts import PARALLEL_TEXTS
from course_lib.corpora.sentences.paraphrases import ENGLISH_TRIPLETS, FRENCH_TRIPLETS
from course_lib.corpora.sentences.referents import TWIN_SENTENCES


@pytest.mark.parametrize("twins", TWIN_SENTENCES, ids=lambda t: t.nouns[0])
def test_twin_sentences_follow_the_pattern(twins):
    assert twins.beginning.startswith(f"The {twins.nouns[0]} ")
    assert twins.beginning.endswith(f"the {twins.nouns[1]}")
    assert twins.adjectives[0] != twins.adjectives[1]
    assert all(word.isalpha() for word in (*twins.nouns, *twins.adjectives))


def test_sentences_are_written_out():
    twins = TWIN_SENTENCES[0]
    start = "The animal didn't cross the street because"
    assert twins.sentence("tired") == f"{start} it was too tired."
    assert twins.named(0, 1) == f"{start} the animal was too wide."
    assert twins.named(1, 0) == f"{start} the street was too tired."


def test_no_sentence_is_there_twice():
    assert len({twins.beginning for twins in TWIN_SENTENCES}) == len(TWIN_SENTENCES) == 48


def test_parallel_texts_say_as_much_in_both_languages():
    for text in PARALLEL_TEXTS:
        assert text.english.endswith(".") and text.french.endswith(".")
        assert 0.8 < len(text.french) / len(text.english) < 1.5
        assert "'" not in text.french  # l’apostrophe typographique, comme dans tout le cours
    assert len({text.french for text in PARALLEL_TEXTS}) == len(PARALLEL_TEXTS) == 12


def words(sentence):
    return set(sentence.lower().strip(".").replace("’", " ").split())


def test_traps_share_more_words_than_paraphrases():
    """C’est ce qui en fait des pièges : compter les mots communs y mène presque toujours."""
    assert len(ENGLISH_TRIPLETS) == len(FRENCH_TRIPLETS) == 16
    for triplets in (ENGLISH_TRIPLETS, FRENCH_TRIPLETS):
        fooled = [
            len(words(t.sentence) & words(t.trap)) > len(words(t.sentence) & words(t.paraphrase))
            for t in triplets
        ]
        assert sum(fooled) >= 14
