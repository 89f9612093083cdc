"""Les biographies : un petit monde clos, où l’on sait qui existe et ce qui a été dit de chacun.

Chaque personne a une ville, un métier, une année de naissance et un animal. Un texte affirme un
fait (« Léa Morin habite à Lyon. »), répond (« Où habite Léa Morin ? Réponse : Lyon. ») ou avoue son
ignorance (« Où habite Zoé Petit ? Réponse : je ne sais pas. »). Les personnes inconnues portent des
prénoms et des noms déjà lus, jamais réunis : aucun des deux mots ne dit qu’on ne les connaît pas.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from course_lib.corpora.microworld.kernel import Draw, capitalize, elide
from course_lib.corpora.microworld.lexicon import LEXICON
from course_lib.corpora.microworld.splits import check_count

ATTRIBUTES = ("city", "trade", "birth_year", "pet")
KINDS = ("statement", "question")
REFUSAL = "je ne sais pas"
QUESTION_SHARE = 0.4
REFUSAL_SHARE = 0.25


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LAST_NAMES = _words(
    "Morin Petit Roux Girard Lambert Mercier Dupont Garnier Faure Rousseau Blanc Guérin Muller "
    "Perrin Gauthier Lefèvre Dumas Fontaine Chevalier Robert Masson Renard Arnaud Brunet Collet "
    "Lemoine Marchand Picard Vidal Aubert"
)
CITIES = _words(
    "Lyon Paris Nantes Lille Brest Dijon Metz Nice Tours Reims Rouen Caen Pau Albi Annecy Arles "
    "Bayonne Bordeaux Bourges Cannes Chartres Colmar Grenoble Laval Limoges Nancy Niort Poitiers "
    "Quimper Rennes Toulouse Valence"
)
TRADES = tuple(
    tuple(pair.split("/"))
    for pair in _words(
        "boulangère/boulanger bouchère/boucher fermière/fermier infirmière/infirmier "
        "cuisinière/cuisinier jardinière/jardinier romancière/romancier policière/policier "
        "menuisière/menuisier couturière/couturier coiffeuse/coiffeur vendeuse/vendeur "
        "danseuse/danseur chanteuse/chanteur serveuse/serveur traductrice/traducteur "
        "directrice/directeur musicienne/musicien mécanicienne/mécanicien pharmacienne/pharmacien"
    )
)
BIRTH_YEARS = tuple(str(year) for year in range(1961, 1993))
PETS = _words(
    "Filou Caramel Minou Réglisse Biscuit Praline Noisette Pirate Moka Plume Gribouille Tambour "
    "Cannelle Pistache Flocon Groseille Grisou Mirabelle Fantôme Chaussette"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Une personne et ses quatre faits ; `gender` vaut « f » ou « m »."""

    first: str
    last: str
    gender: str
    city: str
    trade: str
    birth_year: str
    pet: str

    @property
    def name(self) -> str:
        """Prénom et nom."""
        return f"{self.first} {self.last}"

    def fact(self, attribute: str) -> str:
        """La valeur d’un fait ; ValueError si l’attribut n’est pas de ceux du monde."""
        _check(attribute, ATTRIBUTES, "Attribut")
        return getattr(self, attribute)


@dataclass(frozen=True, slots=True)
class World:
    """Les habitants : `known` (décrits par les textes), `unknown` (dont rien n’est jamais dit).

    `refused` : des inconnus eux aussi, réservés à l’apprentissage du refus.
    """

    known: tuple[Person, ...]
    unknown: tuple[Person, ...]
    refused: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Lessons:
    """Ce que diront les textes.

    `told` : faits affirmés ; `asked` : faits demandés, avec leur réponse ; `refused` : personnes
    dont chaque question reçoit « je ne sais pas ». Un couple (personne, attribut) désigne un fait.
    """

    told: tuple[tuple[Person, str], ...]
    asked: tuple[tuple[Person, str], ...] = ()
    refused: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """Un texte et sa log-probabilité (nats) ; `kind` : statement, question ou refusal."""

    text: str
    log_prob: float
    kind: str
    person: Person
    attribute: str


# Pour chaque attribut : deux façons de l’affirmer, une de le demander ; la valeur vient ensuite.
_STATEMENTS: dict[str, tuple[Callable[[Person], str], ...]] = {
    "city": (lambda p: f"{p.name} habite à", lambda p: f"{p.name} vit à"),
    "trade": (lambda p: f"{p.name} travaille comme", lambda p: f"{p.name} gagne sa vie comme"),
    "birth_year": (lambda p: f"{p.name} est {_born(p)} en", lambda p: f"{p.name} a vu le jour en"),
    "pet": (
        lambda p: f"L'animal {elide('de', p.name)} s'appelle",
        lambda p: f"{p.name} a un animal nommé",
    ),
}
_QUESTIONS: dict[str, Callable[[Person], str]] = {
    "city": lambda p: f"Où habite {p.name} ? Réponse :",
    "trade": lambda p: f"Quel est le métier {elide('de', p.name)} ? Réponse :",
    "birth_year": lambda p: f"En quelle année est {_born(p)} {p.name} ? Réponse :",
    "pet": lambda p: f"Comment s'appelle l'animal {elide('de', p.name)} ? Réponse :",
}


def _born(person: Person) -> str:
    return "née" if person.gender == "f" else "né"


def values(attribute: str) -> tuple[str, ...]:
    """Toutes les valeurs qu’un fait peut prendre, au féminin puis au masculin pour un métier."""
    _check(attribute, ATTRIBUTES, "Attribut")
    trades = tuple(form for column in zip(*TRADES, strict=True) for form in column)
    return {"city": CITIES, "trade": trades, "birth_year": BIRTH_YEARS, "pet": PETS}[attribute]


def prompt(person: Person, attribute: str, kind: str = "statement") -> str:
    """L’amorce à laquelle il ne manque que la valeur : affirmation ou question."""
    _check(attribute, ATTRIBUTES, "Attribut")
    _check(kind, KINDS, "Sorte d’amorce")
    text = _QUESTIONS[attribute] if kind == "question" else _STATEMENTS[attribute][0]
    return capitalize(text(person))


def build_world(
    n_known: int = 200, n_unknown: int = 200, n_refused: int = 300, seed: int = 0
) -> World:
    """Tire un monde, toujours le même pour une graine.

    Les noms d’inconnus ne réunissent que des prénoms et des noms portés par des personnes connues.
    ValueError s’il n’y a pas assez de noms.
    """
    for count in (n_known, n_unknown, n_refused):
        check_count(count)
    rng = random.Random(f"biographies/{seed}")
    firsts = [(name, "f") for name in LEXICON.girls] + [(name, "m") for name in LEXICON.boys]
    names = [(first, last) for first in firsts for last in LAST_NAMES]
    rng.shuffle(names)
    known, others = names[:n_known], names[n_known:]
    read_firsts, read_lasts = {first for first, _ in known}, {last for _, last in known}
    strangers = [n for n in others if n[0] in read_firsts and n[1] in read_lasts]
    if len(known) < n_known or len(strangers) < n_unknown + n_refused:
        raise ValueError(
            f"Il faut {n_known} noms connus et {n_unknown + n_refused} inconnus ; on ne peut en "
            f"former que {len(known)} et {len(strangers)}. Demandez moins d’inconnus, ou davantage "
            "de personnes connues."
        )
    chosen = known + strangers[: n_unknown + n_refused]
    people = tuple(_give_facts(rng, *first, last) for first, last in chosen)
    stop = n_known + n_unknown
    return World(people[:n_known], people[n_known:stop], people[stop:])


def _give_facts(rng: random.Random, first: str, gender: str, last: str) -> Person:
    trade = rng.choice(TRADES)[0 if gender == "f" else 1]
    facts = (rng.choice(CITIES), trade, rng.choice(BIRTH_YEARS), rng.choice(PETS))
    return Person(first, last, gender, *facts)


def every_fact(people: tuple[Person, ...]) -> tuple[tuple[Person, str], ...]:
    """Tous les couples (personne, attribut)."""
    return tuple((person, attribute) for person in people for attribute in ATTRIBUTES)


def write_sentence(draw: Draw, lessons: Lessons) -> Sentence:
    """Écrit un texte avec les tirages de `draw`, dont le compteur est remis à zéro.

    Un refus (1/4 des textes s’il y a des personnes refusées), sinon une question (4/10 s’il y a des
    faits demandés), sinon une affirmation ; puis le fait et la tournure, uniformément.
    ValueError si aucun fait n’est à dire.
    """
    draw.log_prob = 0.0
    if lessons.refused and draw.chance(REFUSAL_SHARE):
        kind, person = "refusal", draw.choice(lessons.refused)
        attribute = draw.choice(ATTRIBUTES)
        text = f"{prompt(person, attribute, 'question')} {REFUSAL}."
    elif lessons.asked and draw.chance(QUESTION_SHARE):
        kind, (person, attribute) = "question", draw.choice(lessons.asked)
        text = f"{prompt(person, attribute, 'question')} {person.fact(attribute)}."
    else:
        kind, (person, attribute) = "statement", draw.choice(lessons.told)
        beginning = draw.choice(_STATEMENTS[attribute])(person)
        text = f"{capitalize(beginning)} {person.fact(attribute)}."
    return Sentence(text, draw.log_prob, kind, person, attribute)


def generate_biographies(lessons: Lessons, n: int, seed: int = 0) -> list[Sentence]:
    """Tire `n` textes, toujours les mêmes pour une graine ; ValueError si `n` est négatif."""
    check_count(n)
    draw = Draw(f"biographies/{seed}")
    return [write_sentence(draw, lessons) for _ in range(n)]


def repeat_facts(counts: dict[Person, int], seed: int = 0) -> list[Sentence]:
    """Des affirmations où chaque fait d’une personne paraît exactement `counts[personne]` fois.

    L’ordre est mélangé. La composition étant fixée, un texte n’y a pas de probabilité : `log_prob`
    est celle de sa seule tournure. ValueError si un nombre est négatif.
    """
    draw, sentences = Draw(f"répétitions/{seed}"), []
    for person, count in counts.items():
        check_count(count)
        for attribute in ATTRIBUTES:
            lessons = Lessons(told=((person, attribute),))
            sentences += [write_sentence(draw, lessons) for _ in range(count)]
    random.Random(f"ordre/{seed}").shuffle(sentences)
    return sentences


def _check(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        names = ", ".join(f"« {name} »" for name in allowed)
        raise ValueError(f"{what} : {value!r}. Choisissez parmi {names}.")
