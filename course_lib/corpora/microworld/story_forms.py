"""Les cases des micro-histoires : sous quelles formes chaque entrée du lexique s’y écrit.

Une case est un endroit de la phrase où la grammaire choisit ou répète une entrée : « la clé » et
« une clé » remplissent deux cases. Les formes sont écrites par le noyau (articles, élisions,
contractions, accords) : aucune règle du français n’est redite ici.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from course_lib.corpora.microworld.kernel import (
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
from course_lib.corpora.microworld.lexicon import Lexicon

GENDERS = ("f", "m")


class Slots:
    """Les cases de la grammaire : pour chacune, les formes permises et l’entrée que chacune dit."""

    def __init__(self, forms: dict[str, dict[str, Any]]) -> None:
        self.forms = forms
        self._patterns: dict[tuple[str, str], re.Pattern[str]] = {}

    def pattern(self, slot: str, then: str) -> re.Pattern[str]:
        """L’expression qui lit une forme de la case, suivie des mots fixes `then`."""
        key = slot, then
        if key not in self._patterns:
            longest_first = sorted(self.forms[slot], key=len, reverse=True)
            choices = "|".join(map(re.escape, longest_first))
            self._patterns[key] = re.compile(f"({choices}){re.escape(then)}")
        return self._patterns[key]


def _table(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Forme → entrée. Erreur : ValueError si une forme dirait deux entrées différentes."""
    table: dict[str, Any] = {}
    for form, entry in pairs:
        if table.setdefault(form, entry) != entry:
            raise ValueError(
                f"Lexique reçu : « {form} » se lit de deux façons ({table[form]!r} ou {entry!r}). "
                "Retirez l’une des deux entrées."
            )
    return table


def _plain(*entries: str) -> dict[str, str]:
    return {entry: entry for entry in entries}


def _gendered(pairs: Iterable[tuple[str, str]]) -> list[tuple[Noun, tuple]]:
    """Pour chaque couple féminin/masculin, ses deux noms, et ce qu’ils disent : couple et genre."""
    return [
        (Noun(form, gender), (pair, gender))
        for pair in pairs
        for form, gender in zip(pair, GENDERS, strict=True)
    ]


def _beginning_forms(words: Lexicon) -> dict[str, dict[str, Any]]:
    """Les cases des quatre premières phrases."""
    forms: dict[str, dict[str, Any]] = {
        "opening": _plain(*words.openings),
        "kind": _table((a(noun), said) for noun, said in _gendered(words.kinds)),
        "name": _plain(*words.girls, *words.boys),
        "pronoun": {subject_pronoun(gender): gender for gender in GENDERS},
        "Pronoun": {capitalize(subject_pronoun(gender)): gender for gender in GENDERS},
        "live": _plain(*words.live_verbs),
        "a home": _table((a(home), home) for home in words.homes),
        "dream": _plain(*words.dream_verbs),
        "of wish": _table((elide("de", wish), wish) for wish in words.wishes),
        "day": _plain(*words.days),
        "find": _plain(*words.find_verbs),
        "an object": _table((a(thing), thing) for thing in words.objects),
        "near": _plain(*words.nearness),
        "of landmark": _table((of_the(landmark), landmark) for landmark in words.landmarks),
        "put": _table((verb[0], verb) for verb in words.put_verbs),
        "object": _table((the(thing), thing) for thing in words.objects),
        "place": _table((the(place), place) for place in words.containers),
    }
    for gender in GENDERS:
        forms[f"trait {gender}"] = _table((t.agree(gender), t) for t in words.traits)
        forms[f"colour {gender}"] = _table((c.agree(gender), c) for c in words.colours)
    return forms


def _end_forms(words: Lexicon) -> dict[str, dict[str, Any]]:
    """Les cases des phrases suivantes : ce qui arrive à l’objet, puis le soir."""
    hides = [(object_pronoun(g, verb[0]), verb) for verb in words.hide_verbs for g in GENDERS]
    masculines = [verb[1] for verb in words.put_verbs + words.hide_verbs + words.steal_verbs]
    fates = [(f"{capitalize(the(thing))} était dans ", (thing, False)) for thing in words.objects]
    fates += [(f"Mais {the(thing)} avait disparu, car ", (thing, True)) for thing in words.objects]
    return {
        "weather or meanwhile": _table(
            [(f"{weather} ", (weather, True)) for weather in words.weather]
            + [(f"{meanwhile}, ", (meanwhile, False)) for meanwhile in words.meanwhile]
        ),
        "meanwhile": _plain(*words.meanwhile),
        "relation": _table((possessive(noun), said) for noun, said in _gendered(words.relations)),
        "action": _table(
            [(verb, ("moved", verb)) for verb in words.take_verbs]
            + [(verb[0], ("stolen", verb)) for verb in words.steal_verbs]
            + [(f"{activity} près", ("kept", activity)) for activity in words.activities]
        ),
        "hide": _table((form, (form, verb)) for form, verb in hides),
        "flight": _plain(*words.flights),
        "evening": _plain(*words.evenings),
        "search": _plain(*words.search_verbs),
        "fate": _table(fates),
        "participle": _table((participle(m, g), (m, g)) for m in masculines for g in GENDERS),
        "emotion": _plain("triste", "heureuse", "heureux"),
        "can": _plain("pouvait enfin", "ne pouvait plus"),
        "wish": _plain(*words.wishes),
        "own home": _table((possessive(home), home) for home in words.homes),
        "manner": _plain("chantant", "pleurant"),
    }


@cache
def story_slots(words: Lexicon) -> Slots:
    """Les cases d’un lexique. Erreur : ValueError si une forme y dit deux entrées."""
    return Slots(_beginning_forms(words) | _end_forms(words))
