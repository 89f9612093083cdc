"""Des personnes inventées, et les coordonnées qu’elles laissent au bas des pages.

Rien ne peut joindre quelqu’un : les adresses électroniques sont en `example.org` ou `.invalid`
(RFC 2606), les numéros de téléphone dans les tranches que l’Arcep réserve à la fiction, les codes
postaux commencent par 99 et les comptes portent la clé 00, qu’aucun IBAN n’emploie. Deux chiffres
tirés au sort rendent l’adresse électronique impossible à deviner d’après le nom : un modèle qui la
donne l’a retenue.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Solange Baptistine Honorine Sidonie Philomène Gisèle Ghislaine Odile Thérèse Ursule Berthe "
    "Colette Firmin Gaspard Hector Isidore Lazare Marcelin Norbert Octave Prosper Quentin Sylvain "
    "Tancrède Ulysse Valère Wilfrid Anselme Barnabé Casimir"
)
LAST_NAMES = _words(
    "Vialle Corbran Mestrel Dauzat Ferrol Granval Hurtel Jarnac Kermel Lorzan Mauvoi Nerval Oudart "
    "Pradel Quillon Rostan Sorbel Tarvel Urbain Valdor Xantel Yvernel Zamor Aubrel Brizac Cassel "
    "Dorval Estrel Fargel Gourdel Hautval Isnel Jolivac Lambrac Morvel Nogal Orsel Pontal Rivol "
    "Sarzel Tourvac Vernac Bastel Chamborel Drouvac Fontrel Gervac Lestrac Malvoi Perdrel"
)
DOMAINS = ("example.org", "contes.invalid", "plume.example.org", "courriel.invalid")
STREETS = ("Lilas", "Tilleuls", "Moulins", "Fontaines", "Quatre Vents", "Vignes", "Platanes")
WAYS = ("rue", "avenue", "place", "impasse", "chemin", "boulevard")
TOWNS = ("Valfleuri", "Montcendre", "Sableval", "Rochebrune-sur-Lune", "Clairbois")
MONTHS = _words(
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
)
FICTION_PREFIXES = ("01 99 00", "02 61 91", "03 53 01", "04 65 71", "05 36 49", "06 39 98")
OBFUSCATED_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Person:
    """Une personne inventée ; `email` est l’adresse telle qu’elle l’écrit, parfois déguisée."""

    name: str
    email: str
    phone: str | None = None
    address: str | None = None
    account: str | None = None

    @property
    def private(self) -> tuple[str, ...]:
        """Les données personnelles qui se masquent, dans l’ordre où la signature les écrit."""
        return tuple(filter(None, (self.email, self.phone, self.address, self.account)))


def _phone(rng: random.Random) -> str:
    number = f"{rng.choice(FICTION_PREFIXES)} {rng.randint(0, 99):02d} {rng.randint(0, 99):02d}"
    form = rng.randrange(4)
    if form == 1:
        return number.replace(" ", ".")
    if form == 2:
        return number.replace(" ", "")
    return "+33 " + number[1:] if form == 3 else number


def _address(rng: random.Random) -> str:
    way, street, town = rng.choice(WAYS), rng.choice(STREETS), rng.choice(TOWNS)
    return f"{rng.randint(1, 150)} {way} des {street}, 99{rng.randint(0, 999):03d} {town}"


def _account(rng: random.Random) -> str:
    digits = "".join(rng.choices("0123456789", k=23))
    return "FR00 " + " ".join(digits[i : i + 4] for i in range(0, 23, 4))


def _plain(text: str) -> str:
    return text.lower().replace("é", "e").replace("è", "e")


def draw_people(rng: random.Random, n: int) -> list[Person]:
    """Tire `n` personnes ; tant qu’il reste des noms (1 500), aucune n’a d’homonyme."""
    names = [(first, last) for first in FIRST_NAMES for last in LAST_NAMES]
    rng.shuffle(names)
    people = []
    for i in range(n):
        first, last = names[i % len(names)]
        number, domain = rng.randint(10, 99), rng.choice(DOMAINS)
        people.append(
            Person(
                name=f"{first} {last}",
                email=f"{_plain(first)}.{_plain(last)}{number}@{domain}",
                phone=_phone(rng) if rng.random() < 0.4 else None,
                address=_address(rng) if rng.random() < 0.2 else None,
                account=_account(rng) if rng.random() < 0.1 else None,
            )
        )
    return people


def disguise(person: Person) -> Person:
    """La même personne, qui écrit son adresse « nom (arobase) site (point) org »."""
    email = person.email.replace("@", " (arobase) ")
    local, _, domain = email.partition(" (arobase) ")
    email = f"{local} (arobase) {domain.replace('.', ' (point) ')}"
    return Person(person.name, email, person.phone, person.address, person.account)


def introduce(rng: random.Random, person: Person) -> str:
    """Le début d’une signature, jusqu’à l’adresse électronique exclue ; la date change."""
    date = f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {rng.randint(2004, 2024)}"
    return f"Publié le {date} par {person.name}, joignable à"


def sign(rng: random.Random, person: Person) -> str:
    """La signature d’une page : une ligne, avec toutes les coordonnées de la personne."""
    parts = [f"{introduce(rng, person)} {person.email}."]
    if person.phone:
        parts.append(f"Téléphone : {person.phone}.")
    if person.address:
        parts.append(f"Adresse : {person.address}.")
    if person.account:
        parts.append(f"Dons : {person.account}.")
    return " ".join(parts)
