"""Les métiers : une loi exacte, des accords justes, un contrefactuel qui se défait."""

import math
import re
from collections import Counter

import pytest
from grammar_enumeration import enumerate_derivations

from course_lib.corpora.microworld import occupations as jobs
from course_lib.corpora.microworld.lexicon import LEXICON

N = 6000


@pytest.fixture(scope="module")
def portraits():
    return jobs.generate_portraits(N)


def test_log_probability_by_hand(portraits):
    for p in portraits[:500]:
        she = jobs.P_SHE[p.trade]
        names = 0.7 / len(jobs.MIXED_NAMES) if p.mixed else 0.3 / len(LEXICON.girls)
        expected = 0.1 * (she if p.feminine else 1 - she) * names / (8 * 4)
        assert p.log_prob == pytest.approx(math.log(expected))


@pytest.mark.slow
def test_the_law_sums_to_one_and_each_text_has_one_derivation():
    derivations = list(enumerate_derivations(jobs.write_portrait))
    assert len({p.text for p in derivations}) == len(derivations) == 10 * 2 * (8 + 26) * 8 * 4
    assert math.fsum(math.exp(p.log_prob) for p in derivations) == pytest.approx(1.0, abs=1e-9)


def test_everything_agrees(portraits):
    feminine = {a.feminine for a in jobs.ADJECTIVES}
    masculine = {a.masculine for a in jobs.ADJECTIVES}
    assert not feminine & masculine
    for p in portraits:
        name, pronoun, adjective = re.match(
            r"(\w+) est \w+\. (Elle|Il) est très (\w+) et .+\.$", p.text
        ).groups()
        assert (pronoun == "Elle") == (adjective in feminine) == p.feminine
        if name in LEXICON.girls or name in LEXICON.boys:
            assert not p.mixed and (name in LEXICON.girls) == p.feminine
        else:
            assert p.mixed and name in jobs.MIXED_NAMES


def test_corpus_follows_the_stated_rates(portraits):
    for trade, (she, total) in jobs.count_pronouns(portraits).items():
        rate = jobs.P_SHE[trade]
        assert abs(she / total - rate) < 4 * math.sqrt(rate * (1 - rate) / total)


def test_names_say_what_they_should():
    names = [*jobs.MIXED_NAMES, *LEXICON.girls, *LEXICON.boys]
    assert len(set(names)) == len(names)
    assert len(LEXICON.girls) == len(LEXICON.boys)


def test_counterfactual_undoes_itself_and_changes_the_gender(portraits):
    for p in portraits[:500]:
        twin = jobs.counterfactual(p)
        assert twin.feminine != p.feminine
        assert (twin.trade, twin.ending, twin.adjective) == (p.trade, p.ending, p.adjective)
        assert (twin.name == p.name) == p.mixed
        back = jobs.counterfactual(twin)
        assert back.text == p.text
        assert back.log_prob == pytest.approx(p.log_prob)


def test_counterfactual_by_hand():
    adjective = jobs.ADJECTIVES[0]
    name = LEXICON.girls[3]
    portrait = jobs.Portrait(name, "pilote", True, False, adjective, "finit tard", math.log(0.01))
    twin = jobs.counterfactual(portrait)
    assert portrait.text == f"{name} est pilote. Elle est très patiente et finit tard."
    assert twin.text == f"{LEXICON.boys[3]} est pilote. Il est très patient et finit tard."
    assert math.exp(twin.log_prob) == pytest.approx(0.09)  # P(elle | pilote) = 0,1


def test_augmentation_balances_every_trade():
    augmented = jobs.generate_portraits(501, seed=3, augmented=True)
    assert len(augmented) == 1002
    assert augmented[::2] == jobs.generate_portraits(501, seed=3)
    for she, total in jobs.count_pronouns(augmented).values():
        assert 2 * she == total > 0
    names = Counter(p.feminine for p in augmented if not p.mixed)
    assert names[True] == names[False]


def test_prompts_and_errors():
    assert jobs.prompt("Camille", "pilote") == "Camille est pilote."
    assert jobs.prompt("Camille", "pilote", "elle") == "Camille est pilote. Elle est très"
    with pytest.raises(ValueError, match=r"Métier reçu : 'plombier'. Choisissez parmi secrétaire"):
        jobs.prompt("Camille", "plombier")
    with pytest.raises(ValueError, match="entier positif ou nul"):
        jobs.generate_portraits(-1)
