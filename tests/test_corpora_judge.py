"""Le juge des micro-histoires : il accepte les textes de la grammaire, et aucun autre."""

import math
import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_corpora_stories import enumerate_texts

from course_lib.corpora import RULES, SKILLS, SPLITS, generate_stories, is_story, judge_story
from course_lib.corpora.microworld.kernel import Noun
from course_lib.corpora.microworld.lexicon import LEXICON

BEGINNING = (
    "Il était une fois une petite fille curieuse qui s'appelait Zoé. "
    "Elle habitait dans une cabane et rêvait de voir la mer. "
    "Un matin, Zoé trouva une clé rouge près du pont. Elle rangea la clé dans le coffre. "
)
HAPPY_END = (
    "Zoé était très heureuse, car elle pouvait enfin voir la mer. "
    "Elle rentra dans sa cabane en chantant."
)
MOVED = (
    BEGINNING + "Pendant ce temps, son voisin Léo prit la clé et la cacha dans l'armoire. "
    "Le soir, Zoé chercha la clé. La clé était dans l'armoire, où Léo l'avait cachée. " + HAPPY_END
)
KEPT = (
    BEGINNING + "Il pleuvait. Pendant ce temps, son voisin Léo dansa près du lac. "
    "Le soir, Zoé chercha la clé. La clé était dans le coffre, où Zoé l'avait rangée. " + HAPPY_END
)
STOLEN = (
    BEGINNING + "Pendant ce temps, son voisin Léo vola la clé et partit en courant. "
    "Le soir, Zoé chercha la clé. Mais la clé avait disparu, car Léo l'avait volée. "
    "Zoé était très triste, car elle ne pouvait plus voir la mer. "
    "Elle rentra dans sa cabane en pleurant."
)


# Une histoire sur dix est de chacun des deux petits jeux : en tirer une en écrit dix.
N_STORIES = {"train": 2000, "validation": 400, "test": 400}


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_every_story_is_coherent_with_its_exact_probability_and_meaning(split):
    for story in generate_stories(N_STORIES[split], split):
        verdict = judge_story(story.text)
        assert verdict.well_formed and verdict.coherent and verdict.broken == ()
        assert verdict.log_prob == pytest.approx(story.log_prob, abs=1e-9)
        assert verdict.meaning == story.meaning


def test_probability_computed_by_hand():
    words = LEXICON
    lists = [words.openings, words.kinds, words.traits, words.girls, words.live_verbs, words.homes]
    lists += [words.dream_verbs, words.wishes, words.days, words.find_verbs, words.objects]
    lists += [words.colours, words.nearness, words.landmarks, words.put_verbs, words.containers]
    lists += [words.relations, words.boys, words.meanwhile, words.evenings, words.search_verbs]
    common = -math.log(2**3) - sum(math.log(len(entries)) for entries in lists)
    n_places = len(words.containers) - 1
    moved = math.log(2) + math.log(len(words.take_verbs) * len(words.hide_verbs) * n_places)
    stolen = math.log(4) + math.log(len(words.steal_verbs) * len(words.flights))
    kept = math.log(4) + math.log(len(words.activities) * len(words.landmarks))
    kept += math.log(len(words.weather))
    for text, cost in ((MOVED, moved), (STOLEN, stolen), (KEPT, kept)):
        assert judge_story(text).log_prob == pytest.approx(common - cost, abs=1e-9)


def _pair(entries):
    """La première et la dernière entrée : pour des noms, un féminin et un masculin."""
    return entries[0], entries[-1]


@pytest.fixture(scope="module")
def reduced():
    """Un lexique de 1 536 histoires, et leurs probabilités par énumération de la grammaire."""
    sizes = {name: getattr(LEXICON, name)[:1] for name in LEXICON.__dataclass_fields__}
    kept = ("girls", "boys", "homes", "objects", "put_verbs", "containers")
    words = replace(LEXICON, **sizes | {name: _pair(getattr(LEXICON, name)) for name in kept})
    words = replace(words, hide_verbs=(LEXICON.hide_verbs[0], ("oublia", "oublié")))
    return words, dict(enumerate_texts(words))


def test_accepted_probabilities_are_those_of_the_enumeration_and_sum_to_one(reduced):
    words, texts = reduced
    assert len(texts) == 1536
    verdicts = {text: judge_story(text, words) for text in texts}
    for text, log_prob in texts.items():
        assert verdicts[text].coherent
        assert verdicts[text].log_prob == pytest.approx(log_prob, abs=1e-9)
    total = math.fsum(math.exp(verdict.log_prob) for verdict in verdicts.values())
    assert total == pytest.approx(1.0, abs=1e-9)


def _judged_as_enumerated(mutants, words, texts):
    """Vérifie que l’acceptation est l’appartenance ; rend (acceptés, lisibles, refusés)."""
    accepted = readable = refused = 0
    for mutant in mutants:
        verdict = judge_story(mutant, words)
        assert verdict.coherent == (mutant in texts), mutant
        assert (verdict.log_prob == -math.inf) == (mutant not in texts)
        accepted += verdict.coherent
        readable += verdict.well_formed and not verdict.coherent
        refused += not verdict.well_formed
    return accepted, readable, refused


def _word_swaps(text, vocabulary):
    """Chaque mot remplacé par chaque autre, ici seulement ou partout ; sans doublon."""
    swaps = set()
    for word in re.finditer(r"\w+", text):
        for other in vocabulary:
            swaps.add(text[: word.start()] + other + text[word.end() :])
            swaps.add(re.sub(rf"\b{word.group()}\b", other, text))
    return sorted(swaps)


@pytest.mark.slow
def test_swapping_a_word_is_accepted_only_if_it_gives_a_story(reduced):
    words, texts = reduced
    vocabulary = sorted({word for text in texts for word in re.findall(r"\w+", text)})
    for text in random.Random(7).sample(sorted(texts), 5):
        counts = _judged_as_enumerated(_word_swaps(text, vocabulary), words, texts)
        assert min(counts) > 0


def test_moving_sentences_is_accepted_only_if_it_gives_a_story(reduced):
    words, texts = reduced
    sample = random.Random(8).sample(sorted(texts), 60)
    mutants = []
    for first, second in pairwise(sample):
        sentences, others = (re.split(r"(?<=\.) ", text) for text in (first, second))
        for rank in range(len(sentences)):
            before, after = sentences[:rank], sentences[rank + 1 :]
            mutants += [" ".join(before + after), " ".join(sentences[: rank + 1] + before)]
            mutants += [" ".join(before + others[rank:]), " ".join(before + others[rank - 1 :])]
            mutants += [" ".join([*before, others[min(rank, len(others) - 1)], *after])]
        mutants += [first + " ", first + second, " " + first, first + " Il pleuvait.", first * 2]
    assert min(_judged_as_enumerated(mutants, words, texts)) > 0


CORRUPTIONS = (
    (MOVED, "Le soir, Zoé", "Le soir, Emma", ("name",)),
    (MOVED, "chercha la clé", "chercha le livre", ("object",)),
    (MOVED, "La clé était", "L'arc était", ("object",)),
    (MOVED, "était dans l'armoire", "était dans le coffre", ("place",)),
    (MOVED, "où Léo", "où Zoé", ("thief",)),
    (MOVED, "cachée", "caché", ("agreement",)),
    (MOVED, "heureuse", "heureux", ("emotion",)),
    (MOVED, "heureuse", "triste", ("emotion",)),
    (MOVED, "enfin voir la mer", "enfin danser toute la nuit", ("wish",)),
    (MOVED, "sa cabane", "son moulin", ("home",)),
    (MOVED, "car elle", "car il", ("pronoun",)),
    (MOVED, "Elle rangea", "Il rangea", ("pronoun",)),
    (MOVED, "et la cacha", "et le cacha", ("object_pronoun",)),
    (MOVED, "cachée", "rangée", ("participle",)),
    (MOVED, "cachée", "rangé", ("agreement", "participle")),
    (MOVED, "La clé était dans l'armoire, où", "Mais la clé avait disparu, car",
     ("place", "disappearance")),
    (STOLEN, "Mais la clé avait disparu, car", "La clé était dans le coffre, où",
     ("place", "disappearance")),
    (MOVED, "pouvait enfin", "ne pouvait plus", ("can",)),
    (STOLEN, "ne pouvait plus", "pouvait enfin", ("can",)),
    (STOLEN, "pleurant", "chantant", ("manner",)),
    (STOLEN, "triste", "heureuse", ("emotion",)),
    (STOLEN, "car Léo", "car Tom", ("thief",)),
    (KEPT, "où Zoé", "où Léo", ("name",)),
    (MOVED, "Zoé", "Tom", ("hero",)),
    (MOVED, "Léo", "Emma", ("other",)),
    (MOVED.replace("où Léo", "où Zoé"), "son voisin Léo", "sa voisine Zoé", ("other",)),
    (MOVED, "l'armoire", "le coffre", ("new_place",)),
)  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "broken"), CORRUPTIONS)
def test_each_corruption_is_named(text, old, new, broken):
    verdict = judge_story(text.replace(old, new))
    assert verdict.well_formed and not verdict.coherent
    assert verdict.broken == broken
    assert verdict.log_prob == -math.inf
    assert verdict.meaning.home == "cabane"


def test_every_rule_is_corrupted_above_and_every_skill_is_a_rule():
    assert {rule for *_, broken in CORRUPTIONS for rule in broken} == set(RULES)
    assert tuple(RULES)[: len(SKILLS)] == SKILLS


@pytest.mark.parametrize(
    ("old", "new", "readable", "sentence"),
    [
        ("fille curieuse", "fille curieux", "fille curieu", "la présentation"),
        ("Elle habitait", "Zoé habitait", "", "la maison et le rêve"),
        ("de voir", "d'voir", "d'", "la maison et le rêve"),
        ("clé rouge", "clé vert", "clé vert", "la trouvaille"),
        ("du pont", "de le pont", "de l", "la trouvaille"),
        ("dans le coffre. P", "dans la coffre. P", "dans la co", "le rangement"),
        ("son voisin", "sa voisin", "sa voisin", "la visite"),
        ("et la cacha", "et la oublia", "et la ", "la visite"),
        ("Zoé chercha", "Zoé trouva", "Zoé ", "la recherche"),
        ("cachée", "perdue", "p", "l’explication"),
        ("très heureuse", "très heureuse et", "très heureuse", "l’émotion"),
        ("sa cabane en", "son cabane en", "son c", "le retour"),
        ("en chantant.", "en chantant. Fin.", "en chantant.", "la fin"),
    ],
)
def test_a_local_fault_is_located(old, new, readable, sentence):
    assert MOVED.count(old) == 1
    verdict = judge_story(MOVED.replace(old, new))
    assert not verdict.well_formed and not verdict.coherent and verdict.meaning is None
    assert verdict.fault.position == MOVED.index(old) + len(readable)
    assert verdict.fault.sentence == sentence


@pytest.mark.parametrize("text", [MOVED, KEPT, STOLEN])
def test_a_beginning_is_readable_up_to_its_end(text):
    for end in range(len(text)):
        assert judge_story(text[:end]).fault.position == end
        assert judge_story(text[:end] + "#" + text[end:]).fault.position == end


@given(st.text() | st.builds(str.__add__, st.sampled_from([BEGINNING, MOVED]), st.text()))
def test_any_text_is_judged(text):
    verdict = judge_story(text)
    assert is_story(text) == verdict.coherent == (text == MOVED)
    assert (verdict.log_prob == -math.inf) == (text != MOVED)
    assert verdict.well_formed or 0 <= verdict.fault.position <= len(text)


def test_errors():
    with pytest.raises(TypeError, match=r"None.*chaîne"):
        judge_story(None)
    twins = replace(LEXICON, objects=(Noun("arc", "m"), Noun("arc", "f")))
    with pytest.raises(ValueError, match="« l'arc » se lit de deux façons"):
        judge_story(MOVED, twins)
