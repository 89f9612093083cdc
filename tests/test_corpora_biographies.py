"""Les biographies : un monde clos, une loi exacte, des inconnus que leur nom ne trahit pas."""

import math
import re
from collections import Counter

import pytest
from grammar_enumeration import enumerate_derivations
from hypothesis import given
from hypothesis import strategies as st

from course_lib.corpora.microworld import biographies as bio
from course_lib.corpora.microworld.kernel import Draw


@pytest.fixture(scope="module")
def world():
    return bio.build_world()


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("refused", [True, False])
def test_the_law_sums_to_one_and_each_text_has_one_derivation(world, asked, refused):
    known = bio.every_fact(world.known[:3])
    lessons = bio.Lessons(known, known[:5] if asked else (), world.refused[:2] if refused else ())
    texts = list(enumerate_derivations(lambda draw: bio.write_sentence(draw, lessons)))
    assert len({s.text for s in texts}) == len(texts) == 24 + 5 * asked + 8 * refused
    assert math.fsum(math.exp(s.log_prob) for s in texts) == pytest.approx(1.0, abs=1e-12)


def test_nobody_is_known_and_unknown_but_every_name_part_is_read(world):
    groups = (world.known, world.unknown, world.refused)
    assert tuple(map(len, groups)) == (200, 200, 300)
    names = [person.name for group in groups for person in group]
    assert len(set(names)) == 700
    firsts, lasts = ({getattr(p, part) for p in world.known} for part in ("first", "last"))
    for person in (*world.unknown, *world.refused):
        assert person.first in firsts and person.last in lasts


def test_same_seed_same_world(world):
    assert bio.build_world() == world
    assert bio.build_world(seed=1) != world


def test_texts_say_the_truth_and_agree(world):
    lessons = bio.Lessons(
        bio.every_fact(world.known), bio.every_fact(world.known[:100]), world.refused
    )
    sentences = bio.generate_biographies(lessons, 3000)
    for s in sentences:
        assert s.person.name in s.text or f"d'{s.person.name}" in s.text
        assert not re.search(r"\bde [AEÉIO]", s.text)
        ending = bio.REFUSAL if s.kind == "refusal" else s.person.fact(s.attribute)
        assert s.text.endswith(f" {ending}.")
        if " née " in s.text or " né " in s.text:
            assert (" née " in s.text) == (s.person.gender == "f")
        assert (s.person in world.refused) == (s.kind == "refusal")
    kinds = Counter(s.kind for s in sentences)
    assert kinds["refusal"] / 3000 == pytest.approx(0.25, abs=0.03)
    assert kinds["question"] / 3000 == pytest.approx(0.75 * 0.4, abs=0.03)


def test_prompts_by_hand():
    léa = bio.Person("Léa", "Morin", "f", "Lyon", "boulangère", "1970", "Filou")
    oscar = bio.Person("Oscar", "Petit", "m", "Brest", "danseur", "1980", "Moka")
    assert bio.prompt(léa, "city") == "Léa Morin habite à"
    assert bio.prompt(léa, "city", "question") == "Où habite Léa Morin ? Réponse :"
    assert bio.prompt(oscar, "pet") == "L'animal d'Oscar Petit s'appelle"
    expected = "En quelle année est né Oscar Petit ? Réponse :"
    assert bio.prompt(oscar, "birth_year", "question") == expected


@pytest.mark.parametrize("attribute", bio.ATTRIBUTES)
def test_values_are_distinct_single_words_and_cover_the_world(world, attribute):
    values = bio.values(attribute)
    assert len(set(values)) == len(values)
    assert all(value.isalnum() for value in values)
    assert {person.fact(attribute) for person in world.known} <= set(values)
    others = {v for a in bio.ATTRIBUTES if a != attribute for v in bio.values(a)}
    assert not set(values) & (others | set(bio.LAST_NAMES))


def test_each_fact_is_repeated_exactly(world):
    counts = {world.known[0]: 1, world.known[1]: 5, world.known[2]: 0}
    sentences = bio.repeat_facts(counts)
    seen = Counter((s.person, s.attribute) for s in sentences)
    assert seen == {(p, a): n for p, n in counts.items() if n for a in bio.ATTRIBUTES}
    assert {s.kind for s in sentences} == {"statement"}
    order = [s.person for s in sentences]
    assert order != sorted(order, key=order.index), "les textes ne sont pas mélangés"


@given(st.text())
def test_an_unknown_attribute_is_refused(text):
    person = bio.build_world(1, 0, 0).known[0]
    if text not in bio.ATTRIBUTES:
        with pytest.raises(ValueError, match="Choisissez parmi « city »"):
            person.fact(text)
    if text not in bio.KINDS:
        with pytest.raises(ValueError, match="« statement », « question »"):
            bio.prompt(person, "city", text)


def test_impossible_worlds_are_refused():
    with pytest.raises(ValueError, match="Demandez moins d’inconnus"):
        bio.build_world(3, 50, 0)
    with pytest.raises(ValueError, match="on ne peut en former que 1560 et 0"):
        bio.build_world(2000, 0, 0)
    with pytest.raises(ValueError, match="entier positif ou nul"):
        bio.build_world(-1)
    with pytest.raises(ValueError, match="aucune option"):
        bio.write_sentence(Draw(0), bio.Lessons(told=()))
