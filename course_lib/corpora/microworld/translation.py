"""« L’animal et la rue » : des phrases anglaises, leur traduction et leur glose mot à mot.

« it » ne dit pas s’il s’agit de l’animal ou de la rue ; le français doit choisir *il* ou *elle*.
Seul l’adjectif le décide : *tired* convient à un être vivant, *wide* à un lieu. La glose donne un
mot français par mot anglais, et « ∅ » quand il n’y en a pas. Certains couples (référent, adjectif)
ne paraissent jamais dans « train » : les comprendre demande de généraliser.
"""

from __future__ import annotations

import math
from dataclasses import replace

from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.splits import check_count, check_split
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
    BilingualAdjective,
    BilingualNoun,
)
from course_lib.corpora.microworld.translation_rendering import Content, TranslationPair, render

PAIR_SPLITS = ("train", "held_out")
NEGATION, COLOUR, NEAR, BEHIND, ADVERB = 0.7, 0.3, 0.3, 0.3, 0.4


def _draw_frame(draw: Draw, agent: BilingualNoun, place: BilingualNoun) -> dict:
    """Tire tout ce qui entoure l’agent, le lieu et l’adjectif."""
    return {
        "verb": draw.choice(VERBS),
        "negative": draw.chance(NEGATION),
        "conjunction": draw.choice(CONJUNCTIONS),
        "colour": draw.choice(COLOURS) if draw.chance(COLOUR) else None,
        "near": draw.choice(AGENTS, exclude=agent) if draw.chance(NEAR) else None,
        "behind": draw.choice(PLACES, exclude=place) if draw.chance(BEHIND) else None,
        "adverb": draw.choice(ADVERBS) if draw.chance(ADVERB) else None,
    }


def draw_clause(draw: Draw, split: str) -> Content:
    """Tire une proposition dont le couple (référent, adjectif) appartient au jeu `split`."""
    referent = "agent" if draw.chance(0.5) else "place"
    noun, adjective = draw.choice(COMBINATIONS[referent][split])
    if referent == "agent":
        agent, place = noun, draw.choice(PLACES)
    else:
        agent, place = draw.choice(AGENTS), noun
    frame = _draw_frame(draw, agent, place)
    return Content(agent, place, referent, adjective, **frame)


def generate_pairs(
    n: int, split: str = "train", n_clauses: int = 1, seed: int = 0
) -> list[TranslationPair]:
    """Tire `n` couples de phrases de `n_clauses` propositions, toujours les mêmes pour une graine.

    « held_out » : chaque proposition emploie un couple (référent, adjectif) absent de « train ».
    `log_prob` est exact pour le jeu demandé. Erreurs : ValueError (jeu inconnu, nombre invalide).
    """
    check_split(split, PAIR_SPLITS)
    check_count(n)
    if n_clauses < 1:
        raise ValueError(f"Nombre de propositions reçu : {n_clauses}. Donnez un entier ≥ 1.")
    draw = Draw(f"traduction/{split}/{n_clauses}/{seed}")
    pairs = []
    for _ in range(n):
        draw.log_prob = 0.0
        contents = [draw_clause(draw, split) for _ in range(n_clauses)]
        pairs.append(render(contents, draw.log_prob))
    return pairs


def _twins(
    agent: BilingualNoun,
    place: BilingualNoun,
    adjectives: tuple[BilingualAdjective, BilingualAdjective],
    frame: dict,
    frame_log_prob: float,
) -> tuple[TranslationPair, TranslationPair]:
    """La même phrase deux fois : adjectif de l’agent, puis adjectif du lieu."""
    base = Content(agent, place, "agent", adjectives[0], **frame)
    other = replace(base, referent="place", adjective=adjectives[1])
    rests = {"agent": len(PLACES), "place": len(AGENTS)}
    pair = []
    for content in (base, other):
        noun = agent if content.referent == "agent" else place
        sets = COMBINATIONS[content.referent]
        split = "train" if (noun, content.adjective) in sets["train"] else "held_out"
        log_prob = frame_log_prob - math.log(2 * len(sets[split]) * rests[content.referent])
        pair.append(render([content], log_prob))
    return pair[0], pair[1]


def minimal_pairs(
    n: int, seed: int = 0, split: str | None = None
) -> list[tuple[TranslationPair, TranslationPair]]:
    """Tire `n` paires minimales : seul l’adjectif change, agent et lieu sont de genres opposés.

    La première phrase parle de l’agent, la seconde du lieu. `split` restreint les deux adjectifs
    à « train » ou « held_out » ; sinon chacun peut venir des deux. `log_prob` de chaque phrase est
    celle que lui donne `generate_pairs` dans le jeu où elle tombe.
    """
    check_count(n)
    if split is not None:
        check_split(split, PAIR_SPLITS)
    draw = Draw(f"paires minimales/{split}/{seed}")
    pools = {
        kind: sets[split] if split else sets["train"] + sets["held_out"]
        for kind, sets in COMBINATIONS.items()
    }
    pairs = []
    while len(pairs) < n:
        agent, agent_adjective = draw.choice(pools["agent"])
        place, place_adjective = draw.choice(pools["place"])
        if agent.french.gender == place.french.gender:
            continue
        draw.log_prob = 0.0
        frame = _draw_frame(draw, agent, place)
        adjectives = (agent_adjective, place_adjective)
        pairs.append(_twins(agent, place, adjectives, frame, draw.log_prob))
    return pairs


def famous_pair() -> tuple[TranslationPair, TranslationPair]:
    """« The animal didn’t cross the street because it was too tired / too wide. »

    Ses deux couples, animal + tired et street + wide, sont mis de côté : « train » les ignore.
    """
    animal, street = AGENTS[0], PLACES[0]
    adjectives = (AGENT_ADJECTIVES[0], PLACE_ADJECTIVES[0])
    frame = {"verb": VERBS[0], "negative": True, "conjunction": CONJUNCTIONS[0]}
    absent = math.prod(1.0 - p for p in (COLOUR, NEAR, BEHIND, ADVERB))
    probability = NEGATION * absent / (len(VERBS) * len(CONJUNCTIONS))
    return _twins(animal, street, adjectives, frame, math.log(probability))
