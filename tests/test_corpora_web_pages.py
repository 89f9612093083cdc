"""Le micro-web : ce que dit la vérité d’une page est bien ce qui lui est arrivé."""

import random
import re
from collections import Counter

import pytest

from course_lib.cleaning.exact import fingerprint
from course_lib.cleaning.privacy import valid_iban
from course_lib.corpora import split_of
from course_lib.corpora.web import KINDS, generate_web, leaked_stories
from course_lib.corpora.web.damage import excerpt, misread, misread_latin1, paraphrase, retouch
from course_lib.corpora.web.material import FOOTERS, MENUS
from course_lib.corpora.web.pages import roster
from course_lib.corpora.web.people import disguise, draw_people


@pytest.fixture(scope="module")
def pages():
    return generate_web(997, seed=5)


def of_kind(pages, kind):
    return [page for page in pages if page.truth.kind == kind]


@pytest.mark.parametrize(
    ("total", "tiers", "expected"),
    [
        (300, (100, 10, 1), {100: 1, 10: 10, 1: 100}),
        (7, (100, 10, 1), {1: 7}),
        (0, (10, 1), {}),
        (64, (10, 1), {10: 3, 1: 34}),
    ],
)
def test_roster_counts(total, tiers, expected):
    assert Counter(roster(total, tiers)) == expected
    assert sum(roster(total, tiers)) == total


def test_size_kinds_and_addresses(pages):
    assert len(pages) == 997
    counts = Counter(page.truth.kind for page in pages)
    assert set(counts) == set(KINDS)
    assert (counts["duplicate"], counts["foreign"], counts["leak"]) == (149, 99, 79)
    assert len({page.url for page in pages}) == 997
    assert all(re.match(r"https://[a-z-]+\.example/page-\d{6}$", page.url) for page in pages)


def test_seed_decides_everything():
    assert generate_web(101, 2) == generate_web(101, 2) != generate_web(101, 3)
    assert generate_web(0) == []
    with pytest.raises(ValueError, match="-1"):
        generate_web(-1)


def test_duplicates_say_exactly_the_same(pages):
    originals = {page.truth.source: page for page in of_kind(pages, "story")}
    copies = of_kind(pages, "duplicate")
    for copy in copies:
        original = originals[copy.truth.source]
        assert fingerprint(copy.text) == fingerprint(original.text)
        assert not original.truth.private
    assert len({copy.text for copy in copies}) < len(copies)


def test_near_duplicates_differ_a_little(pages):
    for page in of_kind(pages, "near_duplicate"):
        assert fingerprint(page.truth.undamaged) != fingerprint(page.truth.story.text)
        common = set(page.truth.undamaged.split()) & set(page.truth.story.text.split())
        assert len(common) > 0.7 * len(set(page.truth.story.text.split()))


def test_signed_pages_carry_their_private_data(pages):
    signed = [page for page in pages if page.truth.author]
    assert len(signed) == int(0.12 * 997)
    for page in signed:
        assert page.truth.kind == "story"
        assert all(data in page.truth.undamaged for data in page.truth.private)
        assert page.truth.author in page.truth.undamaged
    assert set(Counter(page.truth.author for page in signed).values()) == {1, 10}


def test_private_data_can_reach_nobody():
    people = draw_people(random.Random(0), 700)
    assert len({person.name for person in people}) == 700
    for person in people:
        assert re.search(r"@[a-z.]*(example\.org|\.invalid)$", person.email)
        if person.phone:
            digits = re.sub(r"\D", "", person.phone).removeprefix("33").lstrip("0")
            assert re.match("19900|26191|35301|46571|53649|63998", digits) and len(digits) == 9
        if person.address:
            assert re.search(r", 99\d{3} ", person.address)
        if person.account:
            assert len(person.account.replace(" ", "")) == 27
            assert not valid_iban(person.account)
    disguised = disguise(people[0]).email
    assert disguised.count("(arobase)") == 1 and "@" not in disguised


def test_leaks_come_from_the_test_set(pages):
    stories = leaked_stories(79)
    for page in of_kind(pages, "leak"):
        story = page.truth.story
        assert split_of(story.text) == "test"
        assert story == stories[int(page.truth.source.removeprefix("test/"))]
        if page.truth.leak == "whole":
            assert story.text in page.truth.undamaged
        elif page.truth.leak == "paraphrase":
            assert story.text not in page.truth.undamaged
            assert not re.search(rf"\b{story.meaning.hero}\b", page.truth.undamaged)
    for page in pages:
        if page.truth.kind in ("story", "duplicate", "near_duplicate"):
            assert split_of(page.truth.story.text) == "train"


def test_flaws_are_told(pages):
    damages = Counter(flaw for page in pages for flaw in page.truth.flaws)
    assert len(damages) == 6
    for page in pages:
        dressed = any(menu in page.truth.undamaged for menu in MENUS)
        if page.truth.kind != "duplicate":
            assert dressed == ("boilerplate" in page.truth.flaws)
        encoding = page.truth.flaws - {"boilerplate"}
        assert len(encoding) <= 1
        if not encoding:
            assert page.text == page.truth.undamaged
        elif encoding == {"mojibake"}:
            assert page.text == misread(page.truth.undamaged)
    assert any(FOOTERS[0] in page.text for page in pages)


def test_known_misreadings():
    assert misread("fée") == "fÃ©e"
    assert misread("l’Île") == "lâ€™ÃŽle"
    assert misread_latin1("’") == "â\x80\x99"
    assert misread("Á") == "Ã\x81"  # cp1252 ne définit pas l’octet 0x81


def test_text_editors():
    text = "Un deux. Trois quatre. Cinq six. Sept huit."
    rng = random.Random(0)
    assert all(excerpt(rng, text) in text for _ in range(20))
    assert len(excerpt(rng, text).split()) == 4
    assert retouch(rng, "Le chat dort dans le jardin.") != "Le chat dort dans le jardin."
    assert paraphrase("Le soir, Zoé trouva Zoélie.", "Zoé", "Léa") == (
        "À la nuit tombée, Léa vit par terre Zoélie."
    )
