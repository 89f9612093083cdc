"""Les micro-histoires : un texte, sa probabilité exacte, son sens et ses questions cachées.

Un héros range un objet ; quelqu’un le déplace, le vole ou n’y touche pas ; le soir, le héros le
cherche. La fin d’une histoire est déterminée par son début : qui sait lire peut la compléter.
Les « sondes » marquent ces mots que seul le contexte lointain détermine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from course_lib.corpora.microworld.kernel import (
    Draw,
    Noun,
    a,
    capitalize,
    elide,
    object_pronoun,
    of_the,
    participle,
    possessive,
    subject_pronoun,
    the,
)
from course_lib.corpora.microworld.lexicon import LEXICON, Lexicon
from course_lib.corpora.microworld.splits import check_count, check_split, split_of

SKILLS = ("name", "object", "place", "thief", "agreement", "emotion", "wish", "home")


@dataclass(frozen=True, slots=True)
class Probe:
    """Les caractères `start` à `end` (exclu) que la compétence `skill` permet de prédire."""

    skill: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Meaning:
    """Ce que dit l’histoire. `place` est None si l’objet est volé, `thief` si nul n’y touche."""

    hero: str
    gender: str
    kind: str
    trait: str
    home: str
    wish: str
    object: str
    object_gender: str
    first_place: str
    other: str
    other_gender: str
    event: str
    place: str | None
    thief: str | None
    happy: bool


@dataclass(frozen=True, slots=True)
class Story:
    """Une histoire ; `log_prob` est le logarithme naturel de la probabilité du texte entier."""

    text: str
    log_prob: float
    meaning: Meaning
    probes: tuple[Probe, ...]


class _Page:
    """Le texte en cours d’écriture, et les sondes qu’on y pose."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.probes: list[Probe] = []
        self.length = 0

    def write(self, *parts: str | tuple[str, str]) -> None:
        """Ajoute des morceaux ; un couple (compétence, mots) devient une sonde."""
        for part in parts:
            if isinstance(part, tuple):
                skill, part = part
                self.probes.append(Probe(skill, self.length, self.length + len(part)))
            self.parts.append(part)
            self.length += len(part)


@dataclass(slots=True)
class _Plot:
    """Ce que le début de l’histoire a fixé et dont la fin se souviendra."""

    hero: str
    gender: str
    kind: str
    trait: str
    home: Noun
    wish: str
    object: Noun
    put_verb: tuple[str, str]
    first_place: Noun

    @property
    def pronoun(self) -> str:
        return subject_pronoun(self.gender)


@dataclass(slots=True)
class _Event:
    """Ce qui arrive à l’objet : « moved » (déplacé), « kept » (intact) ou « stolen » (volé)."""

    kind: str
    other: str
    other_gender: str
    place: Noun | None
    culprit: str
    past_participle: str


def _introduce(draw: Draw, page: _Page, words: Lexicon) -> tuple:
    gender = "f" if draw.chance(0.5) else "m"
    column = 0 if gender == "f" else 1
    opening = draw.choice(words.openings)
    kind = draw.choice(words.kinds)[column]
    trait = draw.choice(words.traits).agree(gender)
    hero = draw.choice(words.girls if gender == "f" else words.boys)
    page.write(f"{opening} {a(Noun(kind, gender))} {trait} qui s'appelait {hero}. ")
    live = draw.choice(words.live_verbs)
    home = draw.choice(words.homes)
    dream = draw.choice(words.dream_verbs)
    wish = draw.choice(words.wishes)
    page.write(f"{capitalize(subject_pronoun(gender))} {live} dans {a(home)} ")
    page.write(f"et {dream} {elide('de', wish)}. ")
    return hero, gender, kind, trait, home, wish


def _begin(draw: Draw, page: _Page, words: Lexicon) -> _Plot:
    """Le héros, sa maison, son rêve, l’objet trouvé et rangé."""
    hero, gender, kind, trait, home, wish = _introduce(draw, page, words)
    day, found = draw.choice(words.days), draw.choice(words.find_verbs)
    thing = draw.choice(words.objects)
    colour = draw.choice(words.colours).agree(thing.gender)
    near, landmark = draw.choice(words.nearness), draw.choice(words.landmarks)
    page.write(f"{day}, ", ("name", hero), f" {found} {a(thing)} {colour} {near} ")
    page.write(f"{of_the(landmark)}. ")
    put = draw.choice(words.put_verbs)
    first_place = draw.choice(words.containers)
    page.write(capitalize(subject_pronoun(gender)), f" {put[0]} ", ("object", the(thing)))
    page.write(f" dans {the(first_place)}. ")
    return _Plot(hero, gender, kind, trait, home, wish, thing, put, first_place)


def _disturb(draw: Draw, page: _Page, words: Lexicon, plot: _Plot) -> _Event:
    """Un autre personnage passe : il déplace l’objet (1/2), le vole (1/4) ou l’ignore (1/4)."""
    if draw.chance(0.5):
        page.write(draw.choice(words.weather), " ")
    gender = "f" if draw.chance(0.5) else "m"
    relation = Noun(draw.choice(words.relations)[0 if gender == "f" else 1], gender)
    names = words.girls if gender == "f" else words.boys
    other = draw.choice(names, exclude=plot.hero if gender == plot.gender else None)
    thing = plot.object
    page.write(f"{draw.choice(words.meanwhile)}, {possessive(relation)} {other} ")
    if draw.chance(0.5):
        taken, (hid, hidden) = draw.choice(words.take_verbs), draw.choice(words.hide_verbs)
        place = draw.choice(words.containers, exclude=plot.first_place)
        page.write(f"{taken} ", ("object", the(thing)))
        page.write(f" et {object_pronoun(thing.gender, hid)} dans {the(place)}. ")
        return _Event("moved", other, gender, place, other, hidden)
    if draw.chance(0.5):
        stole, stolen = draw.choice(words.steal_verbs)
        page.write(f"{stole} ", ("object", the(thing)), f" et {draw.choice(words.flights)}. ")
        return _Event("stolen", other, gender, None, other, stolen)
    activity, landmark = draw.choice(words.activities), draw.choice(words.landmarks)
    page.write(f"{activity} près {of_the(landmark)}. ")
    return _Event("kept", other, gender, plot.first_place, plot.hero, plot.put_verb[1])


def _conclude(draw: Draw, page: _Page, words: Lexicon, plot: _Plot, event: _Event) -> None:
    """Le soir : on cherche l’objet, on apprend où il est, on est heureux ou triste, on rentre."""
    evening, search = draw.choice(words.evenings), draw.choice(words.search_verbs)
    thing = the(plot.object)
    page.write(f"{evening}, ", ("name", plot.hero), f" {search} ", ("object", thing), ". ")
    if event.place is None:
        page.write(f"Mais {thing} avait disparu, car ")
    else:
        page.write(f"{capitalize(thing)} était dans ", ("place", the(event.place)), ", où ")
    agreed = participle(event.past_participle, plot.object.gender)
    skill = "name" if event.kind == "kept" else "thief"
    page.write((skill, event.culprit), " l'avait ", ("agreement", agreed), ". ")
    if event.place is None:
        emotion, can, manner = "triste", "ne pouvait plus", "pleurant"
    else:
        emotion = "heureuse" if plot.gender == "f" else "heureux"
        can, manner = "pouvait enfin", "chantant"
    page.write(("name", plot.hero), " était très ", ("emotion", emotion))
    page.write(f", car {plot.pronoun} {can} ", ("wish", plot.wish), ". ")
    page.write(f"{capitalize(plot.pronoun)} rentra dans ")
    page.write(("home", possessive(plot.home)), f" en {manner}.")


def write_story(draw: Draw, words: Lexicon = LEXICON) -> Story:
    """Écrit une histoire avec les tirages de `draw`, dont le compteur est remis à zéro."""
    draw.log_prob = 0.0
    page = _Page()
    plot = _begin(draw, page, words)
    event = _disturb(draw, page, words, plot)
    _conclude(draw, page, words, plot, event)
    meaning = Meaning(
        hero=plot.hero,
        gender=plot.gender,
        kind=plot.kind,
        trait=plot.trait,
        home=plot.home.form,
        wish=plot.wish,
        object=plot.object.form,
        object_gender=plot.object.gender,
        first_place=plot.first_place.form,
        other=event.other,
        other_gender=event.other_gender,
        event=event.kind,
        place=event.place.form if event.place else None,
        thief=None if event.kind == "kept" else event.other,
        happy=event.place is not None,
    )
    return Story("".join(page.parts), draw.log_prob, meaning, tuple(page.probes))


def generate_stories(n: int, split: str = "train", seed: int = 0) -> list[Story]:
    """Tire `n` histoires d’un jeu (« train », « validation », « test »), toujours les mêmes.

    On tire sans condition et l’on ne garde que les textes dont l’empreinte désigne le jeu voulu
    (voir `split_of`). `log_prob` reste celle de la grammaire sans condition : un modèle ne peut
    pas deviner l’empreinte d’un texte, c’est donc la bonne borne à laquelle le comparer.
    Erreurs : ValueError si le jeu est inconnu ou `n` négatif.
    """
    check_split(split)
    check_count(n)
    draw = Draw(f"histoires/{split}/{seed}")
    stories: list[Story] = []
    while len(stories) < n:
        story = write_story(draw)
        if split_of(story.text) == split:
            stories.append(story)
    return stories


def story_entropy(n: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Estime l’entropie d’une histoire par Monte-Carlo : (moyenne de −log p, erreur type), nats.

    Erreur : ValueError si `n` < 2 (l’erreur type demande deux tirages).
    """
    if n < 2:
        raise ValueError(f"Nombre de tirages reçu : {n}. Il en faut au moins 2.")
    draw = Draw(f"entropie/{seed}")
    surprises = [-write_story(draw).log_prob for _ in range(n)]
    mean = sum(surprises) / n
    variance = sum((value - mean) ** 2 for value in surprises) / (n - 1)
    return mean, math.sqrt(variance / n)
