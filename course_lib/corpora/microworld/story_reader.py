"""Lire une micro-histoire mot à mot : quels choix la grammaire aurait-elle faits pour l’écrire ?

Le lecteur suit la grammaire de gauche à droite, case par case, sans jamais revenir en arrière. Il
ne vérifie que le local et relève deux choses : les choix que fait le texte, et les mentions, qui
répètent ce qui était déjà dit et que le juge comparera.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from course_lib.corpora.microworld.lexicon import Lexicon
from course_lib.corpora.microworld.story_forms import Slots, story_slots


@dataclass(frozen=True, slots=True)
class Fault:
    """Là où la lecture s’arrête : `text[:position]` pouvait encore commencer une histoire."""

    position: int
    sentence: str


@dataclass(slots=True)
class Reading:
    """Ce que le lecteur a relevé.

    `choices` : couples (nom, valeur), dans l’ordre des tirages de `write_story`.
    `mentions` : pour chaque règle, les mots que le texte emploie, dans l’ordre de lecture.
    """

    choices: list[tuple[str, Any]] = field(default_factory=list)
    mentions: dict[str, list] = field(default_factory=dict)

    def choose(self, **values: object) -> None:
        """Note des choix, dans l’ordre des arguments."""
        self.choices.extend(values.items())

    def mention(self, rule: str, words: object) -> None:
        """Note une mention que la règle `rule` gouverne."""
        self.mentions.setdefault(rule, []).append(words)


class _Stop(Exception):
    """La lecture s’arrête ; `fault` dit où."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Reader:
    """Avance dans le texte, case par case, et remplit `reading`."""

    def __init__(self, text: str, slots: Slots) -> None:
        self.text, self.slots = text, slots
        self.position, self.sentence = 0, ""
        self.reading = Reading()

    def take(self, slot: str, then: str) -> Any:
        """Lit une forme de la case et les mots fixes qui la suivent ; rend l’entrée dite."""
        match = self.slots.pattern(slot, then).match(self.text, self.position)
        if match is None:
            forms = self.slots.forms[slot]
            common = (self._common(form + then) for form in forms)
            raise _Stop(Fault(self.position + max(common), self.sentence))
        self.position = match.end()
        return self.slots.forms[slot][match[1]]

    def mention(self, rule: str, slot: str, then: str) -> None:
        """Lit une case que la règle `rule` gouverne."""
        self.reading.mention(rule, self.take(slot, then))

    def finish(self) -> None:
        """Vérifie que le texte s’arrête ici."""
        if self.position < len(self.text):
            raise _Stop(Fault(self.position, "la fin"))

    def _common(self, words: str) -> int:
        """Combien de caractères de `words` le texte montre-t-il à l’endroit où l’on est ?"""
        lengths = range(len(words), -1, -1)
        return next(n for n in lengths if self.text.startswith(words[:n], self.position))


def _read_introduction(reader: _Reader) -> None:
    take = reader.take
    reader.sentence = "la présentation"
    opening, (kind, gender) = take("opening", " "), take("kind", " ")
    trait, hero = take(f"trait {gender}", " qui s'appelait "), take("name", ". ")
    reader.reading.choose(female=gender == "f", opening=opening, kind=kind, trait=trait, hero=hero)
    reader.sentence = "la maison et le rêve"
    reader.mention("pronoun", "Pronoun", " ")
    reader.reading.choose(live=take("live", " dans "), home=take("a home", " et "))
    reader.reading.choose(dream=take("dream", " "), wish=take("of wish", ". "))


def _read_find(reader: _Reader) -> None:
    take = reader.take
    reader.sentence = "la trouvaille"
    day = take("day", ", ")
    reader.mention("name", "name", " ")
    find, thing = take("find", " "), take("an object", " ")
    colour = take(f"colour {thing.gender}", " ")
    reader.reading.choose(day=day, find=find, object=thing, colour=colour)
    reader.reading.choose(near=take("near", " "), landmark=take("of landmark", ". "))
    reader.sentence = "le rangement"
    reader.mention("pronoun", "Pronoun", " ")
    put = take("put", " ")
    reader.mention("object", "object", " dans ")
    reader.reading.choose(put=put, first_place=take("place", ". "))


def _read_event(reader: _Reader) -> str:
    """La visite de l’autre personnage ; rend l’événement : « moved », « stolen » ou « kept »."""
    take, choose = reader.take, reader.reading.choose
    reader.sentence = "la visite"
    meanwhile, is_weather = take("weather or meanwhile", "")
    choose(has_weather=is_weather)
    if is_weather:
        choose(weather=meanwhile)
        meanwhile = take("meanwhile", ", ")
    (relation, gender), other = take("relation", " "), take("name", " ")
    choose(other_female=gender == "f", relation=relation, other=other, meanwhile=meanwhile)
    event, verb = take("action", " ")
    choose(moved=event == "moved")
    if event == "moved":
        reader.mention("object", "object", " et ")
        form, hide = take("hide", " dans ")
        reader.reading.mention("object_pronoun", form)
        choose(take=verb, hide=hide, new_place=take("place", ". "))
        return event
    choose(stolen=event == "stolen")
    if event == "stolen":
        reader.mention("object", "object", " et ")
        choose(steal=verb, flight=take("flight", ". "))
    else:
        choose(activity=verb, landmark=take("of landmark", ". "))
    return event


def _read_evening(reader: _Reader, event: str) -> None:
    """Presque rien n’est choisi le soir : la fin répète le début, ce sont des mentions."""
    mention = reader.mention
    reader.sentence = "la recherche"
    evening = reader.take("evening", ", ")
    mention("name", "name", " ")
    reader.reading.choose(evening=evening, search=reader.take("search", " "))
    mention("object", "object", ". ")
    reader.sentence = "l’explication"
    thing, vanished = reader.take("fate", "")
    reader.reading.mention("object", thing)
    reader.reading.mention("disappearance", vanished)
    if not vanished:
        mention("place", "place", ", où ")
    mention("name" if event == "kept" else "thief", "name", " l'avait ")
    verb, gender = reader.take("participle", ". ")
    reader.reading.mention("participle", verb)
    reader.reading.mention("agreement", gender)
    reader.sentence = "l’émotion"
    mention("name", "name", " était très ")
    mention("emotion", "emotion", ", car ")
    mention("pronoun", "pronoun", " ")
    mention("can", "can", " ")
    mention("wish", "wish", ". ")
    reader.sentence = "le retour"
    mention("pronoun", "Pronoun", " rentra dans ")
    mention("home", "own home", " en ")
    mention("manner", "manner", ".")


def read_story(text: str, words: Lexicon) -> Reading | Fault:
    """Lit un texte entier : les choix et les mentions relevés, ou l’endroit où il s’égare.

    Le lexique doit, comme LEXICON, ne contenir aucune entrée qui en commence une autre.
    Erreur : ValueError si une même forme y désigne deux entrées.
    """
    reader = _Reader(text, story_slots(words))
    try:
        _read_introduction(reader)
        _read_find(reader)
        _read_evening(reader, _read_event(reader))
        reader.finish()
    except _Stop as stop:
        return stop.fault
    return reader.reading
