"""Le juge des micro-histoires : la grammaire relit un texte, et dit s’il est des siens.

Le lecteur relève les choix que le texte fait. Le juge les rejoue : il demande à la grammaire
d’écrire l’histoire qui fait ces choix, puis compare. Si les deux textes sont le même, l’histoire
est cohérente et sa probabilité est connue exactement, car un texte n’a qu’une dérivation. Sinon,
les mentions qui diffèrent disent quelles règles la fin ne respecte pas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.lexicon import LEXICON, Lexicon
from course_lib.corpora.microworld.stories import Meaning, write_story
from course_lib.corpora.microworld.story_reader import Fault, Reading, read_story

# Ce que la grammaire exige d’un mot à l’autre. Les compétences (SKILLS) d’abord, puis le reste.
RULES = {
    "name": "le héros garde son prénom",
    "object": "l’objet reste le même",
    "place": "l’objet est retrouvé là où on l’a mis",
    "thief": "le coupable est celui qui a agi",
    "agreement": "le participe s’accorde avec l’objet",
    "emotion": "l’émotion convient à la fin et s’accorde avec le héros",
    "wish": "le rêve est celui du début",
    "home": "le héros rentre chez lui",
    "pronoun": "« il » ou « elle » convient au héros",
    "object_pronoun": "« le » ou « la » convient à l’objet",
    "participle": "le participe est celui du verbe employé",
    "disappearance": "l’objet a disparu s’il a été volé, et alors seulement",
    "can": "le rêve est possible si l’objet est retrouvé, et alors seulement",
    "manner": "le héros rentre en chantant s’il est heureux, en pleurant s’il est triste",
    "hero": "le prénom du héros convient à son genre",
    "other": "l’autre personnage a un prénom de son genre, qui n’est pas celui du héros",
    "new_place": "l’objet déplacé change de place",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ce que le juge dit d’un texte.

    `fault` : là où le texte cesse d’être lisible, None s’il se lit jusqu’au bout.
    `broken` : les règles non respectées, dans l’ordre de RULES.
    `log_prob` : logarithme naturel de la probabilité du texte ; −inf s’il n’est pas cohérent.
    `meaning` : le sens fixé par le début de l’histoire, None si le texte n’est pas lisible.
    """

    fault: Fault | None
    broken: tuple[str, ...]
    log_prob: float
    meaning: Meaning | None

    @property
    def well_formed(self) -> bool:
        """Toutes les phrases se lisent, dans l’ordre, et le texte s’arrête où il faut."""
        return self.fault is None

    @property
    def coherent(self) -> bool:
        """Le texte se lit et sa fin respecte son début : la grammaire peut l’écrire."""
        return self.well_formed and not self.broken


class _Replay(Draw):
    """Un tirage qui refait des choix donnés ; `refused` nomme ceux que la grammaire exclut."""

    def __init__(self, choices: Sequence[tuple[str, Any]]) -> None:
        super().__init__(0)
        self._choices = iter(choices)
        self._rank = 0
        self.refused: list[str] = []

    def choice(self, options: Sequence, exclude: Any = None) -> Any:
        name, chosen = next(self._choices)
        if chosen == exclude or chosen not in options:
            self.refused.append(name)
            return chosen
        self._rank = [option for option in options if option != exclude].index(chosen)
        return super().choice(options, exclude)

    def _index(self, n_options: int) -> int:
        return self._rank

    def _coin(self, probability: float) -> bool:
        return next(self._choices)[1]


def _broken_rules(found: Reading, expected: Reading, refused: list[str]) -> tuple[str, ...]:
    """Les règles dont un choix est refusé, ou dont les mentions ne sont pas celles attendues."""
    return tuple(
        rule
        for rule in RULES
        if rule in refused or found.mentions.get(rule) != expected.mentions.get(rule)
    )


def judge_story(text: str, words: Lexicon = LEXICON) -> Verdict:
    """Juge un texte, au caractère près : est-il lisible, cohérent, et de quelle probabilité ?

    Si une disparition est annoncée à tort, ou tue, la règle « place » est rompue elle aussi.
    Erreurs : TypeError si `text` n’est pas une chaîne ; ValueError si une forme du lexique
    désigne deux entrées.
    """
    if not isinstance(text, str):
        raise TypeError(f"Texte reçu : {text!r}. Donnez une chaîne de caractères.")
    reading = read_story(text, words)
    if isinstance(reading, Fault):
        return Verdict(reading, (), -math.inf, None)
    replay = _Replay(reading.choices)
    expected = write_story(replay, words)
    if expected.text == text and not replay.refused:
        return Verdict(None, (), expected.log_prob, expected.meaning)
    broken = _broken_rules(reading, read_story(expected.text, words), replay.refused)
    return Verdict(None, broken, -math.inf, expected.meaning)


def is_story(text: str, words: Lexicon = LEXICON) -> bool:
    """Vrai si la grammaire peut écrire ce texte, à la lettre près."""
    return judge_story(text, words).coherent
