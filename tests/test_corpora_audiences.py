"""Trois publics : mêmes faits, autre langue ; lecture stricte, probabilité exacte."""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from french_checker import elision_faults, gender_of
from hypothesis import given
from hypothesis import strategies as st

from course_lib.corpora.microworld.audience_phrases import EVENTS, PHRASES
from course_lib.corpora.microworld.audiences import (
    AUDIENCES,
    Facts,
    facts,
    generate_audience_texts,
    read,
    sheet,
    tag,
    tell,
)
from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.stories import generate_stories
from course_lib.evaluation.readability import readability

N = 400


@pytest.fixture(scope="module")
def told():
    return {audience: generate_audience_texts(N, audience) for audience in AUDIENCES}


def test_same_facts_for_every_audience(told):
    for child, adult, expert in zip(*told.values(), strict=True):
        assert child.facts == adult.facts == expert.facts
        assert len({child.text, adult.text, expert.text}) == 3
    expected = [Facts.of(story.meaning) for story in generate_stories(N)]
    assert [text.facts for text in told["expert"]] == expected


@pytest.mark.parametrize("audience", AUDIENCES)
def test_reader_recovers_audience_and_facts(told, audience):
    for text in told[audience]:
        assert read(text.text) == (audience, text.facts)
        assert facts(text.text) == text.facts


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_wording_is_unique_and_equally_likely(told, audience, event):
    """Toutes les tournures d’un événement : autant de textes, de probabilités qui somment à 1."""
    example = next(text for text in told[audience] if text.facts.event == event)
    n_wordings = math.prod(len(options) for options in PHRASES[audience][event])
    assert example.log_prob == pytest.approx(-math.log(n_wordings))

    class Script(Draw):
        def __init__(self, ranks):
            super().__init__(0)
            self.ranks = iter(ranks)

        def _index(self, n_options):
            return next(self.ranks)

    sizes = [range(len(options)) for options in PHRASES[audience][event]]
    texts = [tell(example.facts, audience, Script(ranks)) for ranks in itertools.product(*sizes)]
    assert len({text.text for text in texts}) == n_wordings
    assert math.fsum(math.exp(text.log_prob) for text in texts) == pytest.approx(1)
    for text in texts[:: max(1, n_wordings // 60)]:
        assert read(text.text) == (audience, example.facts)


def test_french_is_correct(told):
    texts = [text.text for each in told.values() for text in each]
    known = [re.sub(r"\b[Cc]'est|n'y", "", text) for text in texts]  # le contrôleur les ignore
    assert Counter(fault for text in known for fault in elision_faults(text)) == Counter()


@pytest.mark.slow
def test_readability_orders_the_audiences(told):
    for child, adult, expert in zip(*told.values(), strict=True):
        scores = [readability(text.text).kandel_moles for text in (child, adult, expert)]
        assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize(
    ("audience", "before", "after"),
    [
        ("enfant", "Elle ", "Il "),
        ("enfant", " est triste", " est tristes"),
        ("adulte", "qui s'appelait", "que s'appelait"),
        ("adulte", " d'une ", " de une "),
        ("adulte", " la rangea", " le rangea"),
        ("expert", "dépôt d'un ", "dépôt d'une "),
        ("expert", "la dénommée", "le dénommé"),
        ("expert", ".", ","),
    ],
)
def test_a_damaged_text_is_not_read(told, audience, before, after):
    texts = [t.text for t in told[audience] if before in t.text]
    if before == " d'une ":  # l’adulte ne l’écrit pas : rien à abîmer
        assert not texts
        return
    assert texts
    for text in texts:
        assert read(text.replace(before, after, 1)) == (None, None)


def test_contradictory_or_truncated_texts_are_not_read(told):
    for text in told["enfant"][:100]:
        assert facts(text.text.rsplit(". ", 1)[0]) is None
        assert facts(f"{text.text} {text.text}") is None
    moved = [t for t in told["adulte"] if t.facts.event == "moved"][:50]
    for text in moved:
        first, rest = text.text.rsplit(text.facts.place, 1)
        other = next(p for p in ("coffre", "panier") if p != text.facts.place)
        if gender_of(text.facts.place) == gender_of(other):
            assert facts(first + other + rest) is None


def test_a_wrong_mood_is_read_as_a_wrong_fact(told):
    text = next(t for t in told["expert"] if t.facts.happy)
    damaged = text.text.replace("est favorable.", "est défavorable.")
    assert facts(damaged) == replace(text.facts, happy=False)


@given(st.text())
def test_free_text_is_not_read(text):
    assert read(text) == (None, None)


def test_sheet_and_prompt_written_by_hand():
    known = Facts(
        "Léa", "renarde", "voir la mer", "clé", "coffre", "Paul", "stolen", None, False
    )  # fmt: skip
    assert sheet(known) == (
        "héros : Léa, renarde ; rêve : voir la mer ; objet : clé ; rangement : coffre ; "
        "passant : Paul ; acte : vol ; lieu : inconnu."
    )
    text = tell(known, "enfant", Draw(3))
    assert text.prompt == f"{sheet(known)} [enfant]"
    assert text.facts == known
    assert "Léa est triste." in text.text or "Elle est triste." in text.text


def test_splits_and_seeds(told):
    assert generate_audience_texts(20, "expert") == told["expert"][:20]
    assert generate_audience_texts(20, "expert", seed=1) != told["expert"][:20]
    train = {text.facts for text in told["enfant"]}
    assert not train & {t.facts for t in generate_audience_texts(200, "enfant", "test")}


def test_refusals():
    for call in (lambda: tag("ado"), lambda: generate_audience_texts(1, "ado")):
        with pytest.raises(ValueError, match=r"Public reçu : 'ado'.*« enfant », « adulte »"):
            call()
    with pytest.raises(ValueError, match="Jeu reçu"):
        generate_audience_texts(1, "enfant", "dev")
    with pytest.raises(ValueError, match="-2"):
        generate_audience_texts(-2, "enfant")
