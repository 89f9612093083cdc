"""Raconter au passé simple : des phrases écrites pour ce cours, et la conjugaison pour juge.

    Le comte prend sa canne.  →  Le comte prit sa canne.

La terminaison des verbes en « -er » se devine ; celle des autres se sait ou ne se sait pas : rien,
dans « prend », n’annonce « prit », ni « rendit » dans « rend ». Un modèle qui a lu des romans peut
connaître un passé simple que les exemples ne montrent pas.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

TRAINING = "apprentissage"
NEW_OBJECTS, NEW_REGULAR, NEW_IRREGULAR = (
    "objets nouveaux",
    "verbes en -er nouveaux",
    "autres verbes nouveaux",
)


@dataclass(frozen=True)
class Verb:
    """Un verbe à la troisième personne : présent et passé simple, singulier et pluriel."""

    present: str
    presents: str
    past: str
    pasts: str


# Le radical du présent, puis ceux de « -a » et de « -èrent » s’ils en diffèrent.
_STEMS = """
regard
pos
cherch
pouss
tir
ramass
cach
bris
apport
emport
trouv
montr
gard
oubli
jett jet jet
lanc lanç lanc
achèt achet achet
touch
laiss
enlèv enlev enlev
admir
examin
soulèv soulev soulev
caress
"""


def _regular(stem: str, before_a: str = "", before_e: str = "") -> Verb:
    past, pasts = (before_a or stem) + "a", (before_e or stem) + "èrent"
    return Verb(stem + "e", stem + "ent", past, pasts)


REGULAR = tuple(_regular(*line.split()) for line in _STEMS.strip().splitlines())
IRREGULAR = tuple(
    Verb(*line.split())
    for line in """
prend prennent prit prirent
voit voient vit virent
reçoit reçoivent reçut reçurent
tient tiennent tint tinrent
perd perdent perdit perdirent
vend vendent vendit vendirent
rend rendent rendit rendirent
décrit décrivent décrivit décrivirent
aperçoit aperçoivent aperçut aperçurent
reconnaît reconnaissent reconnut reconnurent
découvre découvrent découvrit découvrirent
offre offrent offrit offrirent
remet remettent remit remirent
peint peignent peignit peignirent
obtient obtiennent obtint obtinrent
reprend reprennent reprit reprirent
veut veulent voulut voulurent
attend attendent attendit attendirent
défend défendent défendit défendirent
détruit détruisent détruisit détruisirent
suit suivent suivit suivirent
craint craignent craignit craignirent
atteint atteignent atteignit atteignirent
""".strip().splitlines()
)
SINGULAR = (
    "le comte",
    "la marquise",
    "Jeanne",
    "le vieillard",
    "la servante",
    "l'enfant",
    "il",
    "elle",
    "le docteur",
    "mon oncle",
    "Pierre",
    "la jeune fille",
)
PLURAL = ("les enfants", "les deux frères", "ils", "elles", "les soldats", "les voisines")
OBJECTS = tuple(
    """
le livre
la lettre
une chaise
le coffre
la lampe
un bouquet
le miroir
la bague
un couteau
le portrait
la malle
un mouchoir
le flambeau
la corbeille
un manteau
le fauteuil
la statue
un bijou
le chapeau
la pendule
un tableau
le violon
la clef
un panier
""".strip().splitlines()
)
# {s}, {t} : deux sujets ; {v}, {w} : leurs verbes ; {o}, {p} : leurs objets.
PATTERNS = (
    "{s} {v} {o}.",
    "{s} {v} {o} sans rien dire.",
    "Alors {s} {v} {o}.",
    "Ce soir-là, {s} {v} {o}.",
    "{s} {v} {o} et {t} {w} {p}.",
    "Quand {s} {v} {o}, {t} {w} {p}.",
    "À ces mots, {s} {v} {o}, mais {t} {w} {p}.",
)


@dataclass(frozen=True)
class PastForm:
    """Une phrase au présent, la même au passé simple ; `kind` : comme dans `PastForms.tests`."""

    present: str
    past: str
    kind: str

    @property
    def prompt(self) -> str:
        """Ce que le modèle lit ; la réponse suit, puis un retour à la ligne."""
        return f"Présent : {self.present}\nPassé :"

    @property
    def completion(self) -> str:
        """Ce que le modèle doit écrire."""
        return f" {self.past}\n"


@dataclass(frozen=True)
class PastForms:
    """Les exemples d’apprentissage, et une suite de phrases nouvelles par épreuve."""

    train: tuple[PastForm, ...]
    tests: dict[str, tuple[PastForm, ...]]


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _phrase(draw: random.Random, verbs: Sequence, objects: Sequence, kind: str) -> PastForm:
    first, second = draw.sample(verbs, 2)
    (subject, one), (other, two) = (
        (draw.choice(SINGULAR), True) if draw.random() < 0.7 else (draw.choice(PLURAL), False)
        for _ in range(2)
    )
    pattern = draw.choice(PATTERNS)
    parts = dict(zip("op", draw.sample(objects, 2), strict=True)) | {"s": subject, "t": other}
    present = {
        "v": first.present if one else first.presents,
        "w": second.present if two else second.presents,
    }
    past = {"v": first.past if one else first.pasts, "w": second.past if two else second.pasts}
    return PastForm(
        _capital(pattern.format(**parts, **present)),
        _capital(pattern.format(**parts, **past)),
        kind,
    )


def _several(n: int, draw: random.Random, verbs, objects, kind: str) -> tuple[PastForm, ...]:
    found: dict[str, PastForm] = {}
    for _ in range(50 * n):
        form = _phrase(draw, verbs, objects, kind)
        found.setdefault(form.present, form)
        if len(found) == n:
            return tuple(found.values())
    raise ValueError(
        f"{n} phrases différentes pour « {kind} » : on n’en trouve que {len(found)}. Demandez-en "
        "moins, ou gardez plus de mots."
    )


def generate_past_forms(
    n_train: int = 300, n_test: int = 120, seed: int = 0, n_new: int = 8
) -> PastForms:
    """Tire les exemples et les épreuves ; `seed` décide aussi des mots gardés pour l’épreuve.

    `n_new` : verbes de chaque sorte, et objets, que l’apprentissage ne montre pas. ValueError si un
    nombre ne laisse pas assez de mots, ou assez de phrases.
    """
    for name, value in (("n_train", n_train), ("n_test", n_test)):
        if value < 1:
            raise ValueError(f"{name} = {value} : il faut au moins une phrase.")
    fewest = min(map(len, (REGULAR, IRREGULAR, OBJECTS)))
    if not 2 <= n_new <= fewest - 2:
        raise ValueError(f"n_new = {n_new} : gardez de 2 à {fewest - 2} mots.")
    draw = random.Random(seed)
    regular, irregular, objects = (
        draw.sample(words, len(words)) for words in (REGULAR, IRREGULAR, OBJECTS)
    )
    known = regular[n_new:] + irregular[n_new:]
    tests = {NEW_OBJECTS: known, NEW_REGULAR: regular[:n_new], NEW_IRREGULAR: irregular[:n_new]}
    return PastForms(
        _several(n_train, draw, known, objects[n_new:], TRAINING),
        {kind: _several(n_test, draw, v, objects[:n_new], kind) for kind, v in tests.items()},
    )


class RegularPast:
    """Sans réseau : un dictionnaire appris mot à mot, et la règle des verbes en « -er ».

    Un mot inconnu en « -ent » prend « -èrent », un mot inconnu en « -e » qui ne suit pas un article
    prend « -a » : c’est ce que l’on peut deviner sans savoir lire.
    """

    ARTICLES = frozenset({"le", "la", "un", "une"})

    def __init__(self, examples: Sequence[PastForm]):
        counts: dict[str, Counter] = {}
        for form in examples:
            for word, other in zip(form.present.split(), form.past.split(), strict=True):
                counts.setdefault(word, Counter())[other] += 1
        self.words = {word: found.most_common(1)[0][0] for word, found in counts.items()}

    def __call__(self, sentence: str) -> str:
        """La phrase au passé simple."""
        written, before = [], ""
        for word in sentence.split():
            if word in self.words:
                written.append(self.words[word])
            elif word.endswith("ent"):
                written.append(word.removesuffix("ent") + "èrent")
            elif word.endswith("e") and before.lower() not in self.ARTICLES:
                written.append(word.removesuffix("e") + "a")
            else:
                written.append(word)
            before = word
        return " ".join(written)
