"""Langue, encodage, qualité, données personnelles : chaque outil face à sa définition."""

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib.cleaning import quality
from course_lib.cleaning.encoding import damage_score, repair, unreadable_share
from course_lib.cleaning.language import (
    LanguageIdentifier,
    default_identifier,
    letter_ngrams,
)
from course_lib.cleaning.privacy import KINDS, mask, valid_iban
from course_lib.corpora import detokenize_french, generate_pairs, generate_stories
from course_lib.corpora.web.damage import (
    drop_accents,
    misread,
    misread_latin1,
    replace_unreadable,
)
from course_lib.corpora.web.material import FOREIGN, SPAM, write_foreign
from course_lib.corpora.web.people import draw_people, sign

FRENCH = st.text(alphabet="abcdefgilmnoprstuvéèêàâçùîôïœÉÀÇ '’«»—…,.;:!?\u00a0\n", max_size=80)


# --- langue ---------------------------------------------------------------------------------


def test_letter_ngrams_by_hand():
    assert letter_ngrams("Où ?", 2) == ["o", "ù", " o", "où", "ù "]


def test_scores_are_smoothed_frequencies():
    identifier = LanguageIdentifier.train({"x": "aa", "y": "b"}, smoothing=1.0)
    scores = identifier.scores("a")
    grams = letter_ngrams("aa")
    known = set(grams) | set(letter_ngrams("b"))
    expected = [(grams.count(g) + 1) / (len(grams) + len(known) + 1) for g in letter_ngrams("a")]
    assert scores["x"] == pytest.approx(sum(map(math.log, expected)) / len(expected))
    assert identifier.identify("a").language == "x"
    assert identifier.identify("a").margin == pytest.approx(scores["x"] - scores["y"])


def test_accuracy_on_texts_of_another_kind():
    identify = default_identifier().identify
    rng = random.Random(0)
    for language in FOREIGN:
        answers = [identify(write_foreign(rng, language)).language for _ in range(53)]
        assert answers == [language] * 53
    pairs = generate_pairs(199)
    english = [identify(pair.english).language == "en" for pair in pairs]
    french = [identify(detokenize_french(pair.french)).language == "fr" for pair in pairs]
    assert sum(english) >= 195 and sum(french) >= 195
    assert all(identify(s.text).language == "fr" for s in generate_stories(53, "validation"))


def test_longer_texts_are_easier():
    """Sur un seul mot, l’identifieur se trompe : c’est sa limite, et elle se mesure."""
    identify = default_identifier().identify
    words = [w for s in generate_stories(31, "validation") for w in s.text.split()]
    alone = sum(identify(w).language == "fr" for w in words) / len(words)
    assert 0.4 < alone < 0.95


def test_language_errors():
    with pytest.raises(ValueError, match="au moins une lettre"):
        default_identifier().identify("12 + 3")
    with pytest.raises(ValueError, match="au moins deux"):
        LanguageIdentifier.train({"fr": "un"})
    with pytest.raises(ValueError, match="smoothing = 0"):
        LanguageIdentifier.train({"fr": "un", "en": "one"}, smoothing=0)


# --- encodage -------------------------------------------------------------------------------


@given(FRENCH)
def test_clean_text_is_never_touched(text):
    assert repair(text) == text


@given(st.text(max_size=80))
def test_repair_never_makes_things_worse(text):
    repaired = repair(text)
    assert damage_score(repaired) <= damage_score(text)
    if damage_score(text) == 0:
        assert repaired == text


@given(FRENCH, st.sampled_from([misread, misread_latin1]), st.integers(1, 2))
@example("vœu", misread_latin1, 2)
def test_misread_text_is_restored(text, reading, times):
    damaged = text
    for _ in range(times):
        damaged = reading(damaged)
    assert repair(damaged) == text


def test_each_line_on_its_own():
    # la dernière ligne mêle un tiret mal lu et un « ù » sain : elle ne se relit pas d’un bloc
    damaged = "La fée rit.\nLa fÃ©e rit.\nâ€” Où\u00a0?"
    assert repair(damaged) == "La fée rit.\nLa fée rit.\nâ€” Où\u00a0?"
    assert repair("CAFÉ\u00a0: ÉTÉ») GROẞ") == "CAFÉ\u00a0: ÉTÉ») GROẞ"


def test_lost_bytes_stay_lost():
    lost = replace_unreadable("La fée a été là.")
    assert lost.count("\ufffd") == 4
    assert repair(lost) == lost and damage_score(lost) == 4
    assert unreadable_share(lost) == pytest.approx(4 / 16)
    assert unreadable_share("") == 0


# --- qualité --------------------------------------------------------------------------------


def test_measures_by_hand():
    assert quality.word_count("Un, deux ; trois !") == 3
    assert quality.mean_word_length("un deux trois") == pytest.approx(11 / 3)
    assert quality.letter_share("ab 12") == 0.5
    assert quality.repeated_line_share("a\nb\na\n\na") == 0.5
    assert quality.repeated_ngram_share("a b a b a", n=2) == 0.5
    assert quality.stop_word_share("le chat et le chien") == 0.6
    assert quality.sentence_ends("Oui. Non ! Peut-être…") == 3
    assert quality.accent_share("fée") == pytest.approx(1 / 3)
    assert quality.accent_share("fe\u0301e") == pytest.approx(1 / 3)
    assert quality.lorem_count("Lorem IPSUM dolor") == 1
    for rule in quality.RULES:
        rule.accepts("")  # un texte vide ne fait tomber aucune règle en panne


def test_stories_pass_and_each_spam_fails_for_its_own_reason():
    assert all(not quality.failed_rules(s.text) for s in generate_stories(199, "validation"))
    rng = random.Random(1)
    reasons = {
        "keywords": "phrases",
        "repeated_lines": "lignes répétées",
        "lorem": "faux texte",
        "figures": "lettres",
        "noise": "mots",
    }
    for name, reason in reasons.items():
        for _ in range(19):
            assert reason in quality.failed_rules(SPAM[name](rng)), name
    story = generate_stories(1)[0].text
    assert quality.failed_rules(drop_accents(story)) == ["accents"]


def test_honest_texts_are_refused_too():
    refrain = "\n".join(["Sur le pont d'Avignon, on y danse, on y danse."] * 4)
    assert "lignes répétées" in quality.failed_rules(refrain)


def test_common_lines():
    texts = ["Menu\nun\nLu 3 fois", "menu \ndeux\nLu 47 fois", "Menu\nMenu\ntrois"]
    assert quality.common_lines(texts, 2) == {"menu", "lu 0 fois"}
    assert quality.common_lines(texts, 3) == {"menu"}
    long_line = " ".join(["mot"] * 21)
    assert quality.common_lines([long_line, long_line], 2) == frozenset()
    assert quality.strip_lines(texts[0], frozenset({"menu", "lu 0 fois"})) == "un"
    assert quality.strip_lines("a\nb\n", frozenset({"c"})) == "a\nb\n"
    with pytest.raises(ValueError, match="min_pages = 1"):
        quality.common_lines(texts, 1)


# --- données personnelles -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Écrire à zoe.v12@plume.example.org.", "Écrire à [courriel]."),
        ("01 99 00 12 34 ou 01.99.00.12.34", "[téléphone] ou [téléphone]"),
        ("0639981234, +33 6 39 98 12 34", "[téléphone], [téléphone]"),
        ("FR00 1234 5678 9012 3456 7890 123 !", "[compte] !"),
        ("12 bis rue des Lilas, 99123 Valfleuri", "[adresse]"),
        ("3 impasse du Four, 99001 Rochebrune-sur-Lune.", "[adresse]."),
    ],
)
def test_private_data_is_masked(text, masked):
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Le 12 mars 2019, 47 enfants.",
        "Réf. 1234567890123",
        "Rendez-vous rue des Lilas.",
        "zoe (arobase) example (point) org",  # manqué, et le module le dit
        "zéro un, quatre-vingt-dix-neuf",
    ],
)
def test_what_is_left_alone(text):
    assert mask(text) == text


@given(st.text(max_size=60))
def test_an_address_is_masked_wherever_it_is(text):
    masked = mask(f"{text} a@b.fr {text}")
    assert "[courriel]" in masked and " a@b.fr " not in masked
    assert mask(masked) == masked


def test_every_signature_is_found_whole():
    rng = random.Random(4)
    for person in draw_people(rng, 211):
        line = sign(rng, person)
        masked = mask(line)
        assert not any(private in masked for private in person.private)
        assert sum(masked.count(f"[{kind}]") for kind in KINDS) == len(person.private)


def test_no_private_data_in_stories():
    assert all(mask(story.text) == story.text for story in generate_stories(211))


def test_iban_key():
    assert valid_iban("FR14 2004 1010 0505 0001 3M02 606")  # l’exemple de la norme
    assert not valid_iban("FR15 2004 1010 0505 0001 3M02 606")
    assert not valid_iban("bonjour")
