"""Passer du « tu » au « vous » : des phrases écrites pour ce cours, et la règle de l’école.

    Tu prends ton parapluie ?  →  Vous prenez votre parapluie ?

La difficulté est dans les phrases où « je » parle aussi : « Quand je prends mon sac, tu prends ton
manteau. » Le même mot, « prends », y change une fois sur deux. Un dictionnaire mot à mot ne peut
pas savoir laquelle ; il faut lire la phrase.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

TRAINING = "apprentissage"
NEW_OBJECTS, NEW_VERBS, SAME_VERB = "objets nouveaux", "verbes nouveaux", "même forme"

# je, tu, vous : des verbes qui acceptent n’importe quel objet que l’on possède.
VERBS = tuple(
    tuple(line.split())
    for line in """
prends prends prenez
perds perds perdez
vends vends vendez
choisis choisis choisissez
décris décris décrivez
reprends reprends reprenez
défends défends défendez
reconnais reconnais reconnaissez
attends attends attendez
vois vois voyez
reçois reçois recevez
obtiens obtiens obtenez
peins peins peignez
veux veux voulez
sors sors sortez
salis salis salissez
garde gardes gardez
cherche cherches cherchez
trouve trouves trouvez
montre montres montrez
oublie oublies oubliez
range ranges rangez
aime aimes aimez
préfère préfères préférez
apporte apportes apportez
regarde regardes regardez
nettoie nettoies nettoyez
répare répares réparez
prête prêtes prêtez
cache caches cachez
dessine dessines dessinez
envoie envoies envoyez
emballe emballes emballez
ramasse ramasses ramassez
achète achètes achetez
découvre découvres découvrez
""".strip().splitlines()
)

# m : mon ton votre · e : mon ton votre devant voyelle · f : ma ta votre · p : mes tes vos
OBJECTS = tuple(
    tuple(line.split(maxsplit=1))
    for line in """
m parapluie
m livre
m sac
m vélo
m manteau
m carnet
m chapeau
m bureau
m téléphone
m panier
m billet
m couteau
m ordinateur
m appareil photo
f lettre
f valise
f clé
f ceinture
f voiture
f chaise
f lampe
f guitare
f carte
f veste
f bague
f tente
p lunettes
p photos
p gants
p papiers
p outils
p chaussures
p affaires
p cahiers
p notes
p rideaux
""".strip().splitlines()
)
OWNED = {"m": ("mon", "ton", "votre"), "f": ("ma", "ta", "votre"), "p": ("mes", "tes", "vos")}

# {tu} et {vous} : le verbe ; {je} : le même, à la première personne ; {o} : l’objet de « tu » ;
# {m} : un objet de « je ».
PATTERNS = (
    ("Tu {tu} {o} ce matin.", "Vous {vous} {o} ce matin."),
    ("Est-ce que tu {tu} {o} ?", "Est-ce que vous {vous} {o} ?"),
    ("Je crois que tu {tu} {o}.", "Je crois que vous {vous} {o}."),
    ("Si tu {tu} {o}, dis-le-moi.", "Si vous {vous} {o}, dites-le-moi."),
    ("Tu es en retard, mais tu {tu} {o}.", "Vous êtes en retard, mais vous {vous} {o}."),
    ("Je {je} {m} et toi, tu {tu} {o}.", "Je {je} {m} et vous, vous {vous} {o}."),
    ("Quand je {je} {m}, tu {tu} {o}.", "Quand je {je} {m}, vous {vous} {o}."),
    ("Tu {tu} {o} pendant que je {je} {m}.", "Vous {vous} {o} pendant que je {je} {m}."),
    ("Dès que je {je} {m}, tu {tu} {o}.", "Dès que je {je} {m}, vous {vous} {o}."),
    ("Si je {je} {m}, est-ce que tu {tu} {o} ?", "Si je {je} {m}, est-ce que vous {vous} {o} ?"),
    ("C'est toi qui {tu} {o} ou c'est moi ?", "C'est vous qui {vous} {o} ou c'est moi ?"),
)


@dataclass(frozen=True)
class PoliteForm:
    """Une phrase à « tu », la même à « vous » ; `kind` : « apprentissage » ou le nom de l’épreuve.

    `same_verb` : « je » y emploie le verbe sous la forme même de « tu ».
    """

    familiar: str
    polite: str
    kind: str
    same_verb: bool

    @property
    def prompt(self) -> str:
        """Ce que le modèle lit ; la réponse suit, puis un retour à la ligne."""
        return f"Tu : {self.familiar}\nVous :"

    @property
    def completion(self) -> str:
        """Ce que le modèle doit écrire."""
        return f" {self.polite}\n"


@dataclass(frozen=True)
class PoliteForms:
    """Les exemples d’apprentissage, et une suite de phrases nouvelles par épreuve."""

    train: tuple[PoliteForm, ...]
    tests: dict[str, tuple[PoliteForm, ...]]


def _elide(sentence: str) -> str:
    """« que je achète » → « que j'achète » : la seule élision que ces phrases demandent."""
    for vowel in "aeio":
        sentence = sentence.replace(f"je {vowel}", f"j'{vowel}").replace(
            f"Je {vowel}", f"J'{vowel}"
        )
    return sentence


def _phrase(draw: random.Random, verbs: Sequence, objects: Sequence, kind: str) -> PoliteForm:
    """Une phrase tirée au sort ; dans « même forme », « je » et « tu » ont le même verbe."""
    only_same = kind == SAME_VERB
    before, after = draw.choice([p for p in PATTERNS if "{je}" in p[0] or not only_same])
    je, tu, vous = draw.choice([v for v in verbs if v[0] == v[1] or not only_same])
    (gender, noun), (my_gender, my_noun) = draw.sample(objects, 2)
    parts = {"je": je, "tu": tu, "vous": vous, "m": f"{OWNED[my_gender][0]} {my_noun}"}
    _, ton, votre = OWNED[gender]
    return PoliteForm(
        _elide(before.format(**parts, o=f"{ton} {noun}")),
        _elide(after.format(**parts, o=f"{votre} {noun}")),
        kind,
        "{je}" in before and je == tu,
    )


def _several(n: int, draw: random.Random, verbs, objects, kind: str) -> tuple[PoliteForm, ...]:
    """`n` phrases différentes ; ValueError s’il n’y en a pas tant."""
    found: dict[str, PoliteForm] = {}
    for _ in range(50 * n):
        form = _phrase(draw, verbs, objects, kind)
        found.setdefault(form.familiar, form)
        if len(found) == n:
            return tuple(found.values())
    raise ValueError(
        f"{n} phrases différentes pour « {kind} » : on n’en trouve que {len(found)}. Demandez-en "
        "moins, ou gardez plus de mots."
    )


def generate_polite_forms(
    n_train: int = 300,
    n_test: int = 120,
    seed: int = 0,
    n_new_verbs: int = 10,
    n_new_objects: int = 10,
) -> PoliteForms:
    """Tire les exemples et les épreuves ; `seed` décide aussi des mots gardés pour l’épreuve.

    « objets nouveaux » : verbes connus, objets jamais vus. « verbes nouveaux » : ni les verbes ni
    les objets. « même forme » : objets nouveaux, et « je » y emploie le verbe tel que « tu ».
    ValueError si un nombre ne laisse pas assez de mots, ou assez de phrases.
    """
    for name, value in (("n_train", n_train), ("n_test", n_test)):
        if value < 1:
            raise ValueError(f"{name} = {value} : il faut au moins une phrase.")
    for name, kept, words in (
        ("n_new_verbs", n_new_verbs, VERBS),
        ("n_new_objects", n_new_objects, OBJECTS),
    ):
        if not 2 <= kept <= len(words) - 2:
            raise ValueError(f"{name} = {kept} : gardez de 2 à {len(words) - 2} mots.")
    draw = random.Random(seed)
    verbs, objects = draw.sample(VERBS, len(VERBS)), draw.sample(OBJECTS, len(OBJECTS))
    old, new = verbs[n_new_verbs:], verbs[:n_new_verbs]
    seen, unseen = objects[n_new_objects:], objects[:n_new_objects]
    tests = {NEW_OBJECTS: old, NEW_VERBS: new, SAME_VERB: old}
    return PoliteForms(
        _several(n_train, draw, old, seen, TRAINING),
        {kind: _several(n_test, draw, v, unseen, kind) for kind, v in tests.items()},
    )


class WordByWord:
    """La règle de l’école, sans réseau : un dictionnaire mot à mot, et la terminaison « -ez ».

    Chaque mot vu à l’apprentissage devient ce qu’il est devenu le plus souvent ; un mot inconnu qui
    suit « tu » (ou « toi qui ») perd « -es » ou « -s » et prend « -ez ».
    """

    def __init__(self, examples: Sequence[PoliteForm]):
        counts: dict[str, Counter] = {}
        for form in examples:
            before, after = form.familiar.split(), form.polite.split()
            for word, other in zip(before, after, strict=True):
                counts.setdefault(word, Counter())[other] += 1
        self.words = {word: found.most_common(1)[0][0] for word, found in counts.items()}

    def __call__(self, sentence: str) -> str:
        """La phrase au « vous »."""
        written, before = [], ""
        for word in sentence.split():
            if word in self.words:
                written.append(self.words[word])
            elif before in ("tu", "Tu", "qui"):
                written.append(word.removesuffix("s").removesuffix("e") + "ez")
            else:
                written.append(word)
            before = word
        return " ".join(written)
