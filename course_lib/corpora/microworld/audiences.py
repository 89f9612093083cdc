"""La même histoire pour trois publics : un enfant, un adulte, un expert du micro-monde.

Une fiche donne les faits, une étiquette le public, et le texte suit :

    héros : Léa, renarde ; objet : clé ; … ; rêve : voir la mer. [enfant] Voici Léa. …

Les faits sont ceux d’un `Meaning`. Chaque public a ses phrases à trous : les mêmes servent à
écrire (`tell`, dont chaque choix passe par `Draw`) et à relire strictement (`facts`). Un texte
n’est lisible que si la grammaire peut l’écrire, accords et élisions compris.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache

from course_lib.corpora.microworld.audience_phrases import AUDIENCES, PHRASES
from course_lib.corpora.microworld.kernel import (
    Draw,
    Noun,
    a,
    capitalize,
    elide,
    object_pronoun,
    participle,
    subject_pronoun,
    the,
    to_the,
)
from course_lib.corpora.microworld.lexicon import LEXICON
from course_lib.corpora.microworld.splits import check_split
from course_lib.corpora.microworld.stories import Meaning, generate_stories

EVENTS = {"moved": "déplacement", "stolen": "vol", "kept": "aucun"}
MOODS = {
    "enfant": (("contente", "content"), "triste"),
    "adulte": (("heureuse", "heureux"), "triste"),
    "expert": ("favorable", "défavorable"),
}
NEUTRAL_TAG = "[récit]"


@dataclass(frozen=True, slots=True)
class Facts:
    """Ce que l’histoire affirme, quel que soit le public ; `place` est None si l’objet est volé."""

    hero: str
    kind: str
    wish: str
    object: str
    first_place: str
    other: str
    event: str
    place: str | None
    happy: bool

    @classmethod
    def of(cls, meaning: Meaning) -> Facts:
        """Les faits d’un sens tiré par `course_lib.corpora.microworld.stories`."""
        return cls(**{field.name: getattr(meaning, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class AudienceText:
    """Un texte pour un public ; `log_prob` : celle des tournures, les faits étant donnés (nats)."""

    audience: str
    text: str
    facts: Facts
    log_prob: float

    @property
    def prompt(self) -> str:
        """La fiche et l’étiquette, qui précèdent le texte."""
        return f"{sheet(self.facts)} {tag(self.audience)}"


_GENDERS = dict.fromkeys(LEXICON.girls, "f") | dict.fromkeys(LEXICON.boys, "m")
_OBJECTS = {noun.form: noun for noun in LEXICON.objects}
_PLACES = {noun.form: noun for noun in LEXICON.containers}
_KINDS = {kind: gender for pair in LEXICON.kinds for kind, gender in zip(pair, "fm", strict=True)}
# Pour relire un trou : ce qui peut s’y écrire, et le fait (champ, valeur) que cela établit.
_READINGS = {
    "hero": {name: ("hero", name) for name in _GENDERS},
    "of_hero": {elide("de", name): ("hero", name) for name in _GENDERS},
    "other": {name: ("other", name) for name in _GENDERS},
    "that_other": {elide("que", name): ("other", name) for name in _GENDERS},
    "a_kind": {a(Noun(kind, g)): ("kind", kind) for kind, g in _KINDS.items()},
    "wish": {wish: ("wish", wish) for wish in LEXICON.wishes},
    "of_wish": {elide("de", wish): ("wish", wish) for wish in LEXICON.wishes},
    "a_thing": {a(noun): ("object", form) for form, noun in _OBJECTS.items()},
    "of_a_thing": {elide("de", a(noun)): ("object", form) for form, noun in _OBJECTS.items()},
    "the_thing": {the(noun): ("object", form) for form, noun in _OBJECTS.items()},
    "The_thing": {capitalize(the(noun)): ("object", form) for form, noun in _OBJECTS.items()},
    "to_the_thing": {to_the(noun): ("object", form) for form, noun in _OBJECTS.items()},
    "first": {the(noun): ("first_place", form) for form, noun in _PLACES.items()},
    "place": {the(noun): ("place", form) for form, noun in _PLACES.items()},
}
_MOOD_READINGS = {
    audience: {
        form: ("happy", rank == 0)
        for rank, forms in enumerate(moods)
        for form in ((forms,) if isinstance(forms, str) else forms)
    }
    for audience, moods in MOODS.items()
}


def check_audience(audience: str) -> None:
    """Refuse un public inconnu (ValueError)."""
    if audience not in AUDIENCES:
        names = ", ".join(f"« {name} »" for name in AUDIENCES)
        raise ValueError(f"Public reçu : {audience!r}. Choisissez parmi {names}.")


def tag(audience: str) -> str:
    """L’étiquette d’un public : « [enfant] », « [adulte] » ou « [expert] »."""
    check_audience(audience)
    return f"[{audience}]"


def sheet(facts: Facts) -> str:
    """La fiche des faits, en style neutre ; l’humeur, qui s’en déduit, n’y est pas."""
    return (
        f"héros : {facts.hero}, {facts.kind} ; rêve : {facts.wish} ; objet : {facts.object} ; "
        f"rangement : {facts.first_place} ; passant : {facts.other} ; "
        f"acte : {EVENTS[facts.event]} ; lieu : {facts.place or 'inconnu'}."
    )


def tell(facts: Facts, audience: str, draw: Draw) -> AudienceText:
    """Raconte ces faits à un public avec les tirages de `draw`, dont le compteur repart de zéro."""
    check_audience(audience)
    draw.log_prob = 0.0
    words = _words(facts, audience)
    chosen = [draw.choice(options) for options in PHRASES[audience][facts.event]]
    text = " ".join(phrase.format_map(words) for phrase in chosen)
    return AudienceText(audience, text, facts, draw.log_prob)


def generate_audience_texts(
    n: int, audience: str, split: str = "train", seed: int = 0
) -> list[AudienceText]:
    """Tire `n` histoires d’un jeu et les raconte à un public ; les faits ne dépendent pas de lui.

    Erreurs : ValueError si le public ou le jeu est inconnu, ou `n` négatif.
    """
    check_audience(audience)
    check_split(split)
    draw = Draw(f"publics/{audience}/{split}/{seed}")
    stories = generate_stories(n, split, seed)
    return [tell(Facts.of(story.meaning), audience, draw) for story in stories]


def facts(text: str) -> Facts | None:
    """Relit un texte, sans fiche ni étiquette ; None si aucun public n’a pu le recevoir ainsi."""
    return read(text)[1]


def read(text: str) -> tuple[str | None, Facts | None]:
    """Le public d’un texte et ses faits ; (None, None) s’il n’est pas de la grammaire."""
    sentences = re.split(r"(?<=[.!?]) ", text)
    for audience in AUDIENCES:
        for event, slots in PHRASES[audience].items():
            found = _read_sentences(sentences, slots, audience, event)
            if found is not None:
                return audience, found
    return None, None


def _read_sentences(sentences: list[str], slots, audience: str, event: str) -> Facts | None:
    """Lit chaque phrase à son rang : un seul gabarit peut convenir, puis on réécrit pour vérifier.

    Les faits lus plusieurs fois doivent s’accorder, et aucun ne doit manquer.
    """
    if len(sentences) != len(slots):
        return None
    known, chosen = {"event": event}, []
    if event == "stolen":
        known["place"] = None
    for sentence, options in zip(sentences, slots, strict=True):
        for phrase in options:
            values = _fill(sentence, phrase, audience)
            if values is not None:
                break
        else:
            return None
        if any(known.setdefault(name, value) != value for name, value in values):
            return None
        chosen.append(phrase)
    if known.keys() != {field.name for field in fields(Facts)}:
        return None
    found = Facts(**known)
    words = _words(found, audience)
    same = " ".join(phrase.format_map(words) for phrase in chosen) == " ".join(sentences)
    return found if same else None


def _fill(sentence: str, phrase: str, audience: str) -> list[tuple[str, object]] | None:
    """Les faits qu’une phrase établit si elle suit ce gabarit ; None sinon."""
    names, pattern = _pattern(phrase, audience)
    match = pattern.fullmatch(sentence)
    if not match:
        return None
    readings = _readings(audience)
    pairs = zip(names, match.groups(), strict=True)
    return [readings[name][value] for name, value in pairs if name in readings]


def _readings(audience: str) -> dict[str, dict]:
    return _READINGS | {"mood": _MOOD_READINGS[audience]}


@cache
def _pattern(phrase: str, audience: str) -> tuple[list[str], re.Pattern]:
    """Le gabarit en expression régulière, et le nom de chaque trou.

    Un fait ne peut être que du lexique ; un mot accordé est libre, la réécriture le vérifiera.
    """
    readings, parts = _readings(audience), re.split(r"\{(\w+)\}", phrase)
    for rank in range(1, len(parts), 2):
        options = readings.get(parts[rank])
        free = "|".join(map(re.escape, options)) if options else r"[^.]+?"
        parts[rank] = (parts[rank], f"({free})")
    names = [part[0] for part in parts[1::2]]
    pieces = [part[1] if rank % 2 else re.escape(part) for rank, part in enumerate(parts)]
    return names, re.compile("".join(pieces))


def _words(facts: Facts, audience: str) -> dict[str, str]:
    """Ce qui remplit chaque trou : les faits, accordés et élidés."""
    gender, other_gender = _GENDERS[facts.hero], _GENDERS[facts.other]
    thing, first = _OBJECTS[facts.object], _PLACES[facts.first_place]
    good, bad = MOODS[audience]
    mood = good if facts.happy else bad
    return {
        "hero": facts.hero,
        "of_hero": elide("de", facts.hero),
        "other": facts.other,
        "that_other": elide("que", facts.other),
        "a_kind": a(Noun(facts.kind, _KINDS[facts.kind])),
        "wish": facts.wish,
        "of_wish": elide("de", facts.wish),
        "a_thing": a(thing),
        "of_a_thing": elide("de", a(thing)),
        "the_thing": the(thing),
        "The_thing": capitalize(the(thing)),
        "to_the_thing": to_the(thing),
        "first": the(first),
        "place": the(_PLACES[facts.place]) if facts.place else "",
        "mood": mood if isinstance(mood, str) else mood[gender == "m"],
        "pronoun": subject_pronoun(gender),
        "Pronoun": capitalize(subject_pronoun(gender)),
        "Other_pronoun": capitalize(subject_pronoun(other_gender)),
        "named": "nommée" if gender == "f" else "nommé",
        "the_person": "la dénommée" if other_gender == "f" else "le dénommé",
        "put_it": object_pronoun(thing.gender, "rangea"),
        "hid_it": object_pronoun(thing.gender, "cacha"),
        "hidden": participle("caché", thing.gender),
        "put": participle("rangé", thing.gender),
        "stolen": participle("volé", thing.gender),
    }
