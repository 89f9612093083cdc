"""Les micro-histoires : probabilité exacte, sens, sondes, partage, et un français irréprochable."""

import itertools
import math
import re
from collections import Counter, defaultdict
from dataclasses import fields, replace

import pytest
from french_checker import story_faults
from grammar_enumeration import enumerate_derivations

from course_lib.corpora import SKILLS, generate_stories, split_of, story_entropy
from course_lib.corpora.microworld.lexicon import LEXICON, Lexicon
from course_lib.corpora.microworld.stories import write_story

N = 10_000


@pytest.fixture(scope="module")
def stories():
    return generate_stories(N)


def enumerate_texts(words):
    """Toutes les dérivations d’un lexique réduit : (texte, log p)."""
    for story in enumerate_derivations(lambda draw: write_story(draw, words)):
        yield story.text, story.log_prob


NAMES = [field.name for field in fields(Lexicon)]
ALWAYS_TWO = {"girls", "boys", "containers"}
GROUPS = [set(NAMES[start::5]) for start in range(5)]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: min(group))
def test_reduced_grammar_sums_to_one_and_each_text_has_one_derivation(group):
    sizes = {name: 2 if name in group | ALWAYS_TWO else 1 for name in NAMES}
    words = replace(LEXICON, **{n: getattr(LEXICON, n)[-size:] for n, size in sizes.items()})
    derivations = list(enumerate_texts(words))
    assert len(derivations) > 1000
    assert len({text for text, _ in derivations}) == len(derivations)
    assert math.fsum(math.exp(lp) for _, lp in derivations) == pytest.approx(1.0, abs=1e-9)


def _surface_forms(entry):
    """Chaque forme sous laquelle une entrée du lexique peut s’écrire, colonne par colonne."""
    if isinstance(entry, str):
        return (entry,)
    if isinstance(entry, tuple):
        return entry
    if hasattr(entry, "feminine"):
        return (entry.feminine, entry.masculine)
    return (entry.form,)


@pytest.mark.parametrize("name", NAMES)
def test_no_entry_begins_another(name):
    columns = zip(*(_surface_forms(entry) for entry in getattr(LEXICON, name)), strict=True)
    for column in columns:
        assert len(set(column)) == len(column)
        for first, second in itertools.permutations(column, 2):
            assert not f"{second} ".startswith(f"{first} "), (first, second)


def test_each_event_is_recognised_by_its_verb_and_each_name_has_one_gender():
    taking = set(LEXICON.take_verbs)
    stealing = {verb for verb, _ in LEXICON.steal_verbs}
    doing = {activity.split()[0] for activity in LEXICON.activities}
    assert not taking & stealing and not taking & doing and not stealing & doing
    assert not set(LEXICON.girls) & set(LEXICON.boys)


def test_same_text_same_probability(stories):
    seen = defaultdict(set)
    for story in stories:
        seen[story.text].add(story.log_prob)
        assert -80 < story.log_prob < -40
    assert all(len(values) == 1 for values in seen.values())


@pytest.mark.slow
def test_french_is_correct(stories):
    faults = Counter(fault for story in stories for fault in story_faults(story.text))
    assert faults == Counter()


def test_no_name_changes_gender(stories):
    genders = defaultdict(set)
    for story in stories:
        genders[story.meaning.hero].add(story.meaning.gender)
        genders[story.meaning.other].add(story.meaning.other_gender)
        assert story.meaning.hero != story.meaning.other
    assert all(len(found) == 1 for found in genders.values())


def test_feminine_adjectives_follow_the_rules():
    rules = (("eux", "euse"), ("eur", "euse"), ("anc", "anche"), ("er", "ère"), ("et", "ète"),
             ("et", "ette"), ("in", "igne"), ("en", "enne"), ("il", "ille"), ("", "e"))  # fmt: skip
    for adjective in LEXICON.traits + LEXICON.colours:
        masculine, feminine = adjective.masculine, adjective.feminine
        regular = masculine == feminine and masculine.endswith("e")
        assert regular or any(
            masculine.endswith(end) and feminine == masculine[: len(masculine) - len(end)] + new
            for end, new in rules
        ), (masculine, feminine)


MUTATIONS = (
    (r"s'appelait", "se appelait"),
    (r"\bdans (un|une) ", lambda m: "dans une " if m[1] == "un" else "dans un "),
    (r"\b(Il|Elle) rentra", lambda m: "Elle rentra" if m[1] == "Il" else "Il rentra"),
    (r"très heureu(x|se)", lambda m: "très heureuse" if m[1] == "x" else "très heureux"),
    (r"très triste", "très tristes"),
    (r"l'avait (\w+?)(e?)\.", lambda m: f"l'avait {m[1]}{'' if m[2] else 'e'}."),
    (r"\. (\w)", lambda m: ". " + m[1].lower()),
    (r"dans (le|la) ", lambda m: "dans la " if m[1] == "le" else "dans le "),
    (r"(près|côté) (du|de la|de l') ?", r"\1 de le "),
    (r" ((?:habit|viv)ait)", r"  \1"),
    (r"\.$", ""),
    (r"et (le|la) (\w+ dans)", lambda m: f"et {'la' if m[1] == 'le' else 'le'} {m[2]}"),
)


@pytest.mark.parametrize(("pattern", "replacement"), MUTATIONS, ids=lambda v: str(v)[:24])
def test_the_checker_sees_damage(stories, pattern, replacement):
    damaged = [re.sub(pattern, replacement, s.text, count=1) for s in stories[:300]]
    changed = [d for d, s in zip(damaged, stories[:300], strict=True) if d != s.text]
    assert len(changed) > 30
    assert all(story_faults(text) for text in changed)


@pytest.mark.parametrize("seed", [11, 12])
def test_the_checker_sees_wrong_elision_and_colour(stories, seed):
    for story in stories[seed * 100 : seed * 100 + 100]:
        text = story.text.replace("d'", "de ", 1).replace("l'", "la ", 1)
        assert text == story.text or story_faults(text)
        thing = re.search(r"(une?) (\w+) (\w+) (?:près|à côté) ", story.text)
        wrong = "vert" if thing[1] == "une" else "verte"
        assert story_faults(story.text.replace(f" {thing[3]} ", f" {wrong} ", 1))


def test_probes_point_at_what_the_meaning_says(stories):
    for story in stories[:2000]:
        told, meaning = defaultdict(list), story.meaning
        for probe in story.probes:
            told[probe.skill].append(story.text[probe.start : probe.end])
        assert set(told["name"]) == {meaning.hero}
        assert told["thief"] == ([meaning.thief] if meaning.thief else [])
        assert [re.sub(r"^(l'|la |le )", "", w) for w in told["place"]] == (
            [meaning.place] if meaning.place else []
        )
        assert {re.sub(r"^(l'|la |le )", "", w) for w in told["object"]} == {meaning.object}
        assert told["wish"] == [meaning.wish]
        assert told["home"][0].split(" ", 1)[1] == meaning.home
        assert told["emotion"][0] == "triste" or meaning.happy
        assert told["agreement"][0].endswith("e") == (meaning.object_gender == "f")
        starts = [probe.start for probe in story.probes]
        assert starts == sorted(starts)


def test_probed_words_are_determined_by_what_precedes(stories):
    """Ce qui est sondé a déjà été dit avant la sonde : nom, objet, lieu, coupable, rêve, maison."""
    for story in stories[:2000]:
        for probe in story.probes:
            words = story.text[probe.start : probe.end]
            if probe.skill in {"name", "thief", "wish", "place"}:
                assert words in story.text[: probe.start]
            elif probe.skill in {"object", "home"}:
                assert re.split(r"['\s]", words, maxsplit=1)[1] in story.text[: probe.start]


def test_each_skill_is_asked_in_at_least_half_of_the_stories(stories):
    counts = Counter(skill for s in stories for skill in {probe.skill for probe in s.probes})
    assert set(counts) == set(SKILLS)
    assert min(counts.values()) >= N / 2


def test_vocabulary_and_length(stories):
    forms = {word for story in stories for word in re.findall(r"\w+", story.text.lower())}
    assert len(forms) >= 600
    assert 80 <= sum(len(story.text.split()) for story in stories) / N <= 100


def test_entropy_agrees_between_seeds_and_with_the_corpus(stories):
    mean, error = story_entropy(2000, seed=1)
    other, other_error = story_entropy(2000, seed=2)
    assert 40 < mean < 55 and 0 < error < 0.1
    assert abs(mean - other) < 5 * math.hypot(error, other_error)
    # L’empreinte ne dépend pas de p : « train » a la même entropie que la grammaire entière.
    assert abs(mean + sum(s.log_prob for s in stories) / N) < 5 * error


def test_splits_are_disjoint_stable_and_sized():
    texts = {s: {x.text for x in generate_stories(500, s)} for s in ("train", "validation", "test")}
    for first, second in itertools.combinations(texts.values(), 2):
        assert not first & second
    assert all(split_of(text) == split for split, group in texts.items() for text in group)
    shares = Counter(split_of(f"texte {i}") for i in range(20_000))
    assert shares["train"] / 20_000 == pytest.approx(0.8, abs=0.02)
    assert shares["test"] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_seed_decides_everything():
    assert generate_stories(20, seed=3) == generate_stories(20, seed=3)
    assert generate_stories(20, seed=3) == generate_stories(40, seed=3)[:20]
    assert generate_stories(20, seed=3) != generate_stories(20, seed=4)
    assert generate_stories(0) == []


def test_errors():
    with pytest.raises(ValueError, match=r"'dev'.*« train », « validation », « test »"):
        generate_stories(3, "dev")
    with pytest.raises(ValueError, match="-1"):
        generate_stories(-1)
    with pytest.raises(ValueError, match="au moins 2"):
        story_entropy(1)
