"""Le noyau : des tirages dont la probabilité est comptée, et les règles du français."""

import math
from collections import Counter

import pytest

from course_lib.corpora.microworld.kernel import (
    Adjective,
    Draw,
    Noun,
    a,
    capitalize,
    elide,
    elides,
    object_pronoun,
    of_the,
    participle,
    possessive,
    subject_pronoun,
    the,
    to_the,
)

KEY, OWL, CLOCK, INN = (
    Noun("clé", "f"),
    Noun("hibou", "m"),
    Noun("horloge", "f"),
    Noun("auberge", "f"),
)
EGG, HARP, YURT = Noun("œuf", "m"), Noun("harpe", "f"), Noun("yourte", "f")


def test_every_choice_adds_its_log_probability():
    draw = Draw(1)
    draw.choice("abcdefg")
    draw.choice("abcde", exclude="c")
    outcome = draw.chance(0.3)
    expected = -math.log(7) - math.log(4) + math.log(0.3 if outcome else 0.7)
    assert draw.log_prob == pytest.approx(expected)


def test_frequencies_match_the_probabilities():
    draw = Draw(2)
    counts = Counter(draw.choice("abcdefg", exclude="d") for _ in range(14_000))
    assert set(counts) == set("abcefg")
    assert all(abs(count - 14_000 / 6) < 220 for count in counts.values())
    heads = sum(draw.chance(0.3) for _ in range(10_000))
    assert abs(heads - 3000) < 230


def test_excluding_an_absent_option_costs_nothing():
    draw = Draw(3)
    draw.choice("abc", exclude="z")
    assert draw.log_prob == pytest.approx(-math.log(3))


def test_same_seed_same_draws():
    assert [Draw(5).choice(range(1000)) for _ in range(3)] == [Draw(5).choice(range(1000))] * 3
    first, second = Draw("x"), Draw("y")
    assert [first.choice(range(97)) for _ in range(9)] != [
        second.choice(range(97)) for _ in range(9)
    ]


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.5, 2.0])
def test_chance_refuses_what_is_not_a_choice(probability):
    with pytest.raises(ValueError, match=f"{probability}"):
        Draw(0).chance(probability)


def test_choice_refuses_an_empty_list():
    with pytest.raises(ValueError, match="aucune option"):
        Draw(0).choice(["seul"], exclude="seul")


@pytest.mark.parametrize(
    ("function", "noun", "expected"),
    [
        (the, KEY, "la clé"), (the, OWL, "le hibou"), (the, CLOCK, "l'horloge"),
        (the, EGG, "l'œuf"),
        (the, HARP, "la harpe"), (the, YURT, "la yourte"), (a, KEY, "une clé"),
        (a, OWL, "un hibou"),
        (of_the, KEY, "de la clé"), (of_the, OWL, "du hibou"), (of_the, CLOCK, "de l'horloge"),
        (of_the, EGG, "de l'œuf"), (to_the, KEY, "à la clé"), (to_the, OWL, "au hibou"),
        (to_the, EGG, "à l'œuf"), (possessive, KEY, "sa clé"), (possessive, INN, "son auberge"),
        (possessive, HARP, "sa harpe"), (possessive, OWL, "son hibou"),
    ],
)  # fmt: skip
def test_articles_contractions_possessives(function, noun, expected):
    assert function(noun) == expected


def test_elision():
    assert elide("de", "Anna") == "d'Anna"
    assert elide("de", "hibou") == "de hibou"
    assert elide("parce que", "elle") == "parce qu'elle"
    assert elide("se", "Élise") == "s'Élise"
    assert object_pronoun("f", "cacha") == "la cacha"
    assert object_pronoun("m", "oublia") == "l'oublia"


def test_elision_errors():
    with pytest.raises(ValueError, match="« avec »"):
        elide("avec", "Anna")
    with pytest.raises(ValueError, match=r"« hyrax ».*MUTE_H"):
        elides("hyrax")


def test_agreement():
    assert Adjective("vert", "verte").agree("f") == "verte"
    assert Adjective("vert", "verte").agree("m") == "vert"
    assert (participle("mis", "f"), participle("caché", "m")) == ("mise", "caché")
    assert (subject_pronoun("f"), subject_pronoun("m")) == ("elle", "il")
    assert capitalize("élise dort à Paris") == "Élise dort à Paris"
    with pytest.raises(ValueError, match=r"« clé ».*'x'"):
        Noun("clé", "x")
