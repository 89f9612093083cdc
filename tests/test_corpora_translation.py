"""« L’animal et la rue » : alignement, accords, partage, paires minimales, log p exact."""

import math
from collections import Counter

import pytest
from french_checker import elision_faults, pair_faults, starts_with_vowel_sound

from course_lib.corpora import (
    NO_COUNTERPART,
    detokenize_french,
    famous_pair,
    generate_pairs,
    minimal_pairs,
)
from course_lib.corpora.microworld import translation
from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.translation_lexicon import (
    ADVERBS,
    AGENT_ADJECTIVES,
    AGENTS,
    COLOURS,
    COMBINATIONS,
    CONJUNCTIONS,
    PLACE_ADJECTIVES,
    PLACES,
    VERBS,
)

AGENT_GENDERS = {noun.english: noun.french.gender for noun in AGENTS}
PLACE_GENDERS = {noun.english: noun.french.gender for noun in PLACES}
FEMININE = {adj.english: adj.french.feminine for adj in AGENT_ADJECTIVES + PLACE_ADJECTIVES}
MASCULINE = {adj.english: adj.french.masculine for adj in AGENT_ADJECTIVES + PLACE_ADJECTIVES}


@pytest.fixture(scope="module")
def pairs():
    return (
        generate_pairs(4000)
        + generate_pairs(3000, n_clauses=2)
        + generate_pairs(2000, "held_out")
        + generate_pairs(1000, "held_out", n_clauses=3)
    )


def log_prob_from_words(english, split):
    """Recalcule log p en lisant la seule phrase anglaise d’une proposition."""
    words = english.removesuffix(" .").split()
    agent = next(w for w in words if w in AGENT_GENDERS)
    negative = "n't" in words
    verbs = {v.base if negative else v.past for v in VERBS}
    verb = next(i for i, w in enumerate(words) if w in verbs)
    total = -math.log(len(VERBS) * len(CONJUNCTIONS)) + math.log(0.7 if negative else 0.3)
    total += math.log(0.3 / len(COLOURS)) if words[1] != agent else math.log(0.7)
    total += math.log(0.3 / (len(AGENTS) - 1)) if "near" in words[:verb] else math.log(0.7)
    behind = words[verb + 3 : verb + 4] == ["behind"]
    total += math.log(0.3 / (len(PLACES) - 1)) if behind else math.log(0.7)
    has_adverb = any(f" {adverb[0]} " in english for adverb in ADVERBS)
    total += math.log(0.4 / len(ADVERBS)) if has_adverb else math.log(0.6)
    referent = "agent" if words[-1] in {a.english for a in AGENT_ADJECTIVES} else "place"
    others = len(PLACES) if referent == "agent" else len(AGENTS)
    return total - math.log(2 * len(COMBINATIONS[referent][split]) * others)


def test_sizes_of_the_lexicon():
    assert [len(x) for x in (AGENTS, PLACES, AGENT_ADJECTIVES, PLACE_ADJECTIVES)] == [
        30,
        24,
        16,
        16,
    ]
    for words in (AGENTS, PLACES):
        genders = Counter(noun.french.gender for noun in words)
        assert abs(genders["f"] - genders["m"]) <= 4
    agents, places = ({a.english for a in x} for x in (AGENT_ADJECTIVES, PLACE_ADJECTIVES))
    assert not agents & places
    assert not set(AGENT_GENDERS) & set(PLACE_GENDERS)


def test_french_is_correct(pairs):
    assert len(pairs) == 10_000
    assert Counter(fault for pair in pairs for fault in pair_faults(pair.french)) == Counter()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("parce qu' il", "parce que il"),
        (" il était", " elle était"),
        ("l' ", "le "),
        ("du ", "de le "),
        ("la rue", "le rue"),
        ("trop large", "trop étroite"),
        ("l' animal ", "l' animal blanche "),
    ],
)
def test_the_checker_sees_damage(pairs, good, bad):
    changed = [p.french.replace(good, bad, 1) for p in pairs[:4000] if good in p.french]
    if bad == "trop étroite":
        changed = [text for text in changed if "il était trop étroite" in text]
    assert changed
    assert all(pair_faults(text) for text in changed)


def test_gloss_has_one_french_word_per_english_word(pairs):
    colours = {form for c in COLOURS for form in (c.french.masculine, c.french.feminine)}
    for pair in pairs:
        english, gloss = pair.english.split(), pair.gloss.split()
        assert len(english) == len(gloss)
        for word, french, following in zip(english, gloss, [*gloss[1:], ""], strict=True):
            if word == "the" and french == "l'":
                # Une couleur peut séparer l’article du nom qu’il précède en français.
                assert following in colours or starts_with_vowel_sound(following)
            elif word == "the":
                assert french in {"le", "la"}
            elif word == "it":
                assert french in {"il", "elle"}
            assert (french == NO_COUNTERPART) == (word == "on")


def test_positions_and_agreement(pairs):
    for pair in pairs:
        english, french, gloss = (x.split() for x in (pair.english, pair.french, pair.gloss))
        for clause in pair.clauses:
            assert english[clause.agent] == clause.agent_word
            assert english[clause.place] == clause.place_word
            assert english[clause.pronoun] == "it"
            assert english[clause.adjective] == clause.adjective_word
            genders = AGENT_GENDERS if clause.referent == "agent" else PLACE_GENDERS
            noun = clause.agent_word if clause.referent == "agent" else clause.place_word
            assert genders[noun] == clause.gender
            pronoun = "elle" if clause.gender == "f" else "il"
            assert french[clause.french_pronoun] == gloss[clause.pronoun] == pronoun
            forms = FEMININE if clause.gender == "f" else MASCULINE
            assert gloss[clause.adjective] == forms[clause.adjective_word]
            assert french[clause.french_pronoun + 3] == forms[clause.adjective_word]


def test_log_prob_equals_an_independent_reading(pairs):
    for pair in pairs[:4000]:
        expected = log_prob_from_words(pair.english, "train")
        assert pair.log_prob == pytest.approx(expected, abs=1e-9)
    for pair in pairs[7000:9000]:
        expected = log_prob_from_words(pair.english, "held_out")
        assert pair.log_prob == pytest.approx(expected, abs=1e-9)


def test_reduced_grammar_sums_to_one(monkeypatch):
    """Deux mots par liste : on énumère tout, chaque phrase a une seule dérivation."""
    for name in ("COLOURS", "VERBS", "ADVERBS", "CONJUNCTIONS"):
        monkeypatch.setattr(translation, name, getattr(translation, name)[:1])
    monkeypatch.setattr(translation, "AGENTS", AGENTS[:2])
    monkeypatch.setattr(translation, "PLACES", PLACES[:2])
    reduced = {
        "agent": {"train": tuple((a, j) for a in AGENTS[:2] for j in AGENT_ADJECTIVES[:2])},
        "place": {"train": tuple((p, j) for p in PLACES[:2] for j in PLACE_ADJECTIVES[:2])},
    }
    monkeypatch.setattr(translation, "COMBINATIONS", reduced)
    seen = {}
    for script in _scripts(lambda draw: translation.draw_clause(draw, "train")):
        draw = _Script(script)
        content = translation.draw_clause(draw, "train")
        english = translation.render([content], draw.log_prob).english
        assert english not in seen
        seen[english] = math.exp(draw.log_prob)
    assert len(seen) > 200
    assert math.fsum(seen.values()) == pytest.approx(1.0, abs=1e-9)


class _Script(Draw):
    def __init__(self, script):
        super().__init__(0)
        self.script, self.taken, self.arities = script, [], []

    def _index(self, n_options):
        rank = len(self.taken)
        self.taken.append(self.script[rank] if rank < len(self.script) else 0)
        self.arities.append(n_options)
        return self.taken[-1]

    def _coin(self, probability):
        return self._index(2) == 0


def _scripts(draw_with):
    script = []
    while script is not None:
        draw = _Script(script)
        draw_with(draw)
        yield list(draw.taken)
        taken, arities, script = draw.taken, draw.arities, None
        for rank in reversed(range(len(taken))):
            if taken[rank] + 1 < arities[rank]:
                script = [*taken[:rank], taken[rank] + 1]
                break


def _combinations(pairs):
    return {
        (c.referent, c.agent_word if c.referent == "agent" else c.place_word, c.adjective_word)
        for pair in pairs
        for c in pair.clauses
    }


def test_no_leak_between_splits(pairs):
    train, held_out = _combinations(pairs[:7000]), _combinations(pairs[7000:])
    assert not train & held_out
    assert ("agent", "animal", "tired") not in train
    assert ("place", "street", "wide") not in train
    for kind, n_nouns in (("agent", 30), ("place", 24)):
        sets = COMBINATIONS[kind]
        assert not set(sets["train"]) & set(sets["held_out"])
        assert len(sets["held_out"]) / (n_nouns * 16) == pytest.approx(0.15, abs=0.005)
        assert {x for x, _ in sets["train"]} == set(AGENTS if kind == "agent" else PLACES)
    assert not {p.english for p in pairs[:7000]} & {p.english for p in pairs[7000:]}


def test_train_shows_every_word_of_the_held_out_split(pairs):
    for line in ("english", "french", "gloss"):
        train = {w for p in pairs[:7000] for w in getattr(p, line).split()}
        assert {w for p in pairs[7000:] for w in getattr(p, line).split()} <= train


@pytest.mark.parametrize("split", [None, "train", "held_out"])
def test_minimal_pairs_differ_only_in_the_adjective(split):
    for first, second in minimal_pairs(500, seed=5, split=split):
        one, two = first.english.split(), second.english.split()
        differences = [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
        (clause,), (twin,) = first.clauses, second.clauses
        assert differences == [clause.adjective] == [twin.adjective]
        assert (clause.referent, twin.referent) == ("agent", "place")
        assert clause.gender != twin.gender
        assert not pair_faults(first.french) and not pair_faults(second.french)
        for pair in (first, second):
            scores = [log_prob_from_words(pair.english, s) for s in ("train", "held_out")]
            assert any(math.isclose(pair.log_prob, s, abs_tol=1e-9) for s in scores)
        if split:
            noun = {c.english for c, _ in COMBINATIONS["agent"][split]}
            assert clause.agent_word in noun


def test_famous_pair():
    tired, wide = famous_pair()
    assert tired.english == "the animal did n't cross the street because it was too tired ."
    assert tired.french.endswith("la rue parce qu' il était trop fatigué .")
    assert wide.french.endswith("la rue parce qu' elle était trop large .")
    assert wide.gloss == "l' animal a pas traversé la rue car elle était trop large ."
    for pair in (tired, wide):
        assert pair.log_prob == pytest.approx(log_prob_from_words(pair.english, "held_out"))


def test_detokenize_french():
    assert (
        detokenize_french("l' animal n' a pas vu l' oie aujourd'hui parce qu' il était trop las .")
        == "L’animal n’a pas vu l’oie aujourd’hui parce qu’il était trop las."
    )


def test_detokenized_texts_are_well_typeset(pairs):
    for pair in pairs[:2000]:
        text = detokenize_french(pair.french)
        assert "'" not in text and " ." not in text and "’ " not in text
        assert text[0].isupper() and not elision_faults(text.replace("’", "'"))


def test_seed_decides_everything_and_errors():
    assert generate_pairs(9, seed=2) == generate_pairs(9, seed=2) != generate_pairs(9, seed=3)
    assert all(len(p.clauses) == 3 for p in generate_pairs(5, n_clauses=3))
    with pytest.raises(ValueError, match=r"'test'.*« train », « held_out »"):
        generate_pairs(1, "test")
    with pytest.raises(ValueError, match="propositions reçu : 0"):
        generate_pairs(1, n_clauses=0)
    with pytest.raises(ValueError, match="-2"):
        minimal_pairs(-2)
