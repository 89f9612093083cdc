"""Le lexique de « L’animal et la rue » : mots anglais et français, couples mis de côté."""

from __future__ import annotations

import random
from dataclasses import dataclass

from course_lib.corpora.microworld.kernel import Adjective, Noun


@dataclass(frozen=True, slots=True)
class BilingualNoun:
    """Un nom anglais et son équivalent français."""

    english: str
    french: Noun


@dataclass(frozen=True, slots=True)
class BilingualAdjective:
    """Un adjectif anglais, invariable, et son équivalent français, qui s’accorde."""

    english: str
    french: Adjective


@dataclass(frozen=True, slots=True)
class Verb:
    """Un verbe anglais (infinitif, prétérit) et le participe passé français, avec « avoir »."""

    base: str
    past: str
    participle: str


def _nouns(text: str) -> tuple[BilingualNoun, ...]:
    rows = (entry.split() for entry in text.split("|"))
    return tuple(BilingualNoun(english, Noun(french, gender)) for english, french, gender in rows)


def _adjectives(text: str) -> tuple[BilingualAdjective, ...]:
    rows = (entry.split() for entry in text.split("|"))
    return tuple(BilingualAdjective(row[0], Adjective(row[1], row[2])) for row in rows)


AGENTS = _nouns(
    "animal animal m|cat chat m|dog chien m|mouse souris f|cow vache f|turtle tortue f"
    "|horse cheval m|goat chèvre f|hen poule f|bear ours m|fox renard m|frog grenouille f"
    "|ant fourmi f|owl hibou m|hedgehog hérisson m|donkey âne m|duck canard m|snake serpent m"
    "|spider araignée f|goose oie f|rabbit lapin m|lion lion m|bee abeille f|whale baleine f"
    "|giraffe girafe f|squirrel écureuil m|butterfly papillon m|fly mouche f|ewe brebis f"
    "|seal otarie f"
)
PLACES = _nouns(
    "street rue f|road route f|bridge pont m|river rivière f|field champ m|forest forêt f"
    "|garden jardin m|path chemin m|square place f|hill colline f|lake lac m|courtyard cour f"
    "|park parc m|tunnel tunnel m|stream ruisseau m|beach plage f|avenue avenue f|pond étang m"
    "|meadow prairie f|valley vallée f|swamp marais m|desert désert m|island île f|canal canal m"
)
# Les deux familles d’adjectifs ne se recoupent pas : l’adjectif désigne à lui seul le référent.
AGENT_ADJECTIVES = _adjectives(
    "tired fatigué fatiguée|sick malade malade|hungry affamé affamée|scared effrayé effrayée"
    "|lazy paresseux paresseuse|young jeune jeune|weak faible faible|shy timide timide"
    "|sleepy endormi endormie|hurt blessé blessée|nervous nerveux nerveuse"
    "|worried inquiet inquiète|greedy gourmand gourmande|curious curieux curieuse"
    "|thirsty assoiffé assoiffée|angry fâché fâchée"
)
PLACE_ADJECTIVES = _adjectives(
    "wide large large|long long longue|narrow étroit étroite|dark sombre sombre"
    "|muddy boueux boueuse|slippery glissant glissante|steep pentu pentue"
    "|crowded bondé bondée|noisy bruyant bruyante|flooded inondé inondée|deep profond profonde"
    "|icy glacé glacée|windy venteux venteuse|empty vide vide|sunny ensoleillé ensoleillée"
    "|dangerous dangereux dangereuse"
)
COLOURS = _adjectives(
    "white blanc blanche|black noir noire|green vert verte|grey gris grise|brown brun brune"
)
VERBS = (
    Verb("cross", "crossed", "traversé"),
    Verb("reach", "reached", "atteint"),
    Verb("leave", "left", "quitté"),
    Verb("visit", "visited", "visité"),
    Verb("follow", "followed", "suivi"),
    Verb("like", "liked", "aimé"),
    Verb("choose", "chose", "choisi"),
    Verb("avoid", "avoided", "évité"),
    Verb("see", "saw", "vu"),
    Verb("explore", "explored", "exploré"),
)
# (anglais, français, glose) : la glose a autant de mots que l’anglais, « ∅ » s’il n’y a rien.
CONJUNCTIONS = (
    ("because", "parce que", "car"),
    ("since", "puisque", "puisque"),
    ("as", "car", "car"),
)
ADVERBS = (
    ("yesterday", "hier", "hier"),
    ("this morning", "ce matin", "ce matin"),
    ("last night", "hier soir", "hier soir"),
    ("in winter", "en hiver", "en hiver"),
    ("on monday", "lundi", "∅ lundi"),
    ("today", "aujourd'hui", "aujourd'hui"),
)

HELD_OUT_SHARE = 0.15
Combination = tuple[BilingualNoun, BilingualAdjective]


def _divide(
    nouns: tuple[BilingualNoun, ...],
    adjectives: tuple[BilingualAdjective, ...],
    famous: tuple[str, str],
    seed: int,
) -> dict[str, tuple[Combination, ...]]:
    """Met de côté 15 % des couples nom × adjectif, dont le couple célèbre ; le partage est fixe."""
    combinations = [(noun, adjective) for noun in nouns for adjective in adjectives]
    kept_apart = {c for c in combinations if (c[0].english, c[1].english) == famous}
    others = [c for c in combinations if c not in kept_apart]
    size = round(HELD_OUT_SHARE * len(combinations)) - len(kept_apart)
    kept_apart.update(random.Random(seed).sample(others, size))
    return {
        "train": tuple(c for c in combinations if c not in kept_apart),
        "held_out": tuple(c for c in combinations if c in kept_apart),
    }


COMBINATIONS = {
    "agent": _divide(AGENTS, AGENT_ADJECTIVES, ("animal", "tired"), seed=7),
    "place": _divide(PLACES, PLACE_ADJECTIVES, ("street", "wide"), seed=8),
}
