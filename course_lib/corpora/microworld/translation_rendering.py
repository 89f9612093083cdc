"""Écrire une phrase de « L’animal et la rue » : anglais, français et glose, mot à mot alignés.

« it » ne dit pas s’il s’agit de l’animal ou de la rue ; le français doit choisir *il* ou *elle*.
Seul l’adjectif le décide : *tired* convient à un être vivant, *wide* à un lieu. La glose donne un
mot français par mot anglais, et « ∅ » quand il n’y en a pas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from course_lib.corpora.microworld.kernel import capitalize, elide, of_the, subject_pronoun, the
from course_lib.corpora.microworld.translation_lexicon import (
    BilingualAdjective,
    BilingualNoun,
    Verb,
)

NO_COUNTERPART = "∅"


@dataclass(frozen=True, slots=True)
class Clause:
    """Une proposition : ce qu’elle dit, et où le trouver (indices de mots dans la phrase).

    `agent`, `place`, `pronoun`, `adjective` : indices dans l’anglais, et donc dans la glose ;
    `french_pronoun` : indice dans le français ; `referent` : « agent » ou « place ».
    """

    agent: int
    place: int
    pronoun: int
    adjective: int
    french_pronoun: int
    referent: str
    gender: str
    agent_word: str
    place_word: str
    adjective_word: str


@dataclass(frozen=True, slots=True)
class TranslationPair:
    """Une phrase en trois lignes de mots séparés par des espaces, et le log p (nats) du couple."""

    english: str
    french: str
    gloss: str
    log_prob: float
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Les choix d’où découle une proposition ; None pour un élément absent."""

    agent: BilingualNoun
    place: BilingualNoun
    referent: str
    adjective: BilingualAdjective
    verb: Verb
    negative: bool
    conjunction: tuple[str, str, str]
    colour: BilingualAdjective | None = None
    near: BilingualNoun | None = None
    behind: BilingualNoun | None = None
    adverb: tuple[str, str, str] | None = None


class _Lines:
    """Les trois lignes, écrites ensemble pour rester alignées."""

    def __init__(self) -> None:
        self.english: list[str] = []
        self.french: list[str] = []
        self.gloss: list[str] = []

    def write(self, english: str, french: str, gloss: str | None = None) -> None:
        """Ajoute des mots à chaque ligne ; la glose est par défaut le français."""
        self.english += english.split()
        self.french += split_elision(french)
        self.gloss += split_elision(french) if gloss is None else gloss.split()


def split_elision(text: str) -> list[str]:
    """Sépare les mots, l’élision restant à gauche : « l'animal » → « l' », « animal »."""
    words = []
    for word in text.split():
        head, mark, tail = word.partition("'")
        words += [head + mark, tail] if mark and tail and head != "aujourd" else [word]
    return words


def _write_subject(lines: _Lines, content: Content) -> int:
    noun = content.agent.french
    article, form = split_elision(the(noun))
    colour = content.colour
    lines.english.append("the")
    lines.gloss.append(article)
    if colour:
        lines.english.append(colour.english)
        lines.gloss.append(colour.french.agree(noun.gender))
    position = len(lines.english)
    lines.english.append(content.agent.english)
    lines.gloss.append(form)
    lines.french += [article, form] + ([colour.french.agree(noun.gender)] if colour else [])
    if content.near:
        # L’article anglais seul se glose par l’article seul : « du » en couvrirait deux.
        gloss = " ".join(["près", *split_elision(the(content.near.french))])
        lines.write(
            f"near the {content.near.english}", f"près {of_the(content.near.french)}", gloss
        )
    return position


def _write_verb(lines: _Lines, verb: Verb, negative: bool) -> None:
    participle = verb.participle
    if negative:
        lines.write(f"did n't {verb.base}", f"n'a pas {participle}", f"a pas {participle}")
    else:
        lines.write(verb.past, f"a {participle}", participle)


def _write_clause(lines: _Lines, content: Content) -> Clause:
    agent = _write_subject(lines, content)
    _write_verb(lines, content.verb, content.negative)
    lines.write(f"the {content.place.english}", the(content.place.french))
    place = len(lines.english) - 1
    if content.behind:
        noun = content.behind
        lines.write(f"behind the {noun.english}", f"derrière {the(noun.french)}")
    if content.adverb:
        lines.write(*content.adverb)
    noun = content.agent if content.referent == "agent" else content.place
    gender = noun.french.gender
    _write_conjunction(lines, content.conjunction, gender)
    pronoun, french_pronoun = len(lines.english), len(lines.french)
    adjective = content.adjective
    ending = f"{subject_pronoun(gender)} était trop {adjective.french.agree(gender)}"
    lines.write(f"it was too {adjective.english}", ending)
    return Clause(
        agent=agent,
        place=place,
        pronoun=pronoun,
        adjective=len(lines.english) - 1,
        french_pronoun=french_pronoun,
        referent=content.referent,
        gender=gender,
        agent_word=content.agent.english,
        place_word=content.place.english,
        adjective_word=adjective.english,
    )


def _write_conjunction(lines: _Lines, conjunction: tuple[str, str, str], gender: str) -> None:
    """« parce qu' », « puisqu' » ou « car » : « que » s’élide devant le pronom qui suit."""
    english, french, gloss = conjunction
    if french.endswith("que"):
        elided = elide("que", subject_pronoun(gender)).removesuffix(subject_pronoun(gender))
        french, gloss = french.removesuffix("que") + elided, gloss.replace("que", elided)
    lines.write(english, french, gloss)


def render(contents: list[Content], log_prob: float) -> TranslationPair:
    """Écrit les propositions, reliées par « and » / « et », suivies d’un point."""
    lines = _Lines()
    clauses = []
    for content in contents:
        if clauses:
            lines.write("and", "et")
        clauses.append(_write_clause(lines, content))
    lines.write(".", ".")
    return TranslationPair(
        " ".join(lines.english),
        " ".join(lines.french),
        " ".join(lines.gloss),
        log_prob,
        tuple(clauses),
    )


def detokenize_french(words: str) -> str:
    """Rend sa typographie au français : « l' animal … . » → « L’animal…. » collé, majuscule, ’."""
    text = words.replace("' ", "'").replace("'", "’")
    text = re.sub(r" ([.,])", r"\1", text)
    return capitalize(text)
