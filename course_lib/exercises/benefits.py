"""Les exercices des avantages : un indice à la main, un lecteur, un repère, deux publics."""

from fractions import Fraction
from typing import Any

from course_lib.evaluation.readability import readability, words
from course_lib.exercises import judges
from course_lib.exercises.answers import as_words
from course_lib.exercises.exercise import Exercise, require
from course_lib.typography import format_number

SENTENCES = "Hop, dans le sac ! Léa est contente."


def _kandel(n_words: float, n_sentences: float, n_syllables: float) -> float:
    return 207 - 1.015 * n_words / n_sentences - 73.6 * n_syllables / n_words


# L’indice de Kandel et Moles de deux petites phrases.
kandel_moles = Exercise(
    judges.Number(
        readability(SENTENCES).kandel_moles,
        [
            (_kandel(7, 2, 10), "une syllabe de trop : le e muet de « contente » ne se dit pas"),
            (_kandel(7, 2, 8), "il manque une syllabe : « Léa » en a deux"),
            (_kandel(7, 1, 9), "il y a deux phrases : le point d'exclamation en finit une"),
            (_kandel(8, 2, 9), "il y a sept mots"),
            (_kandel(7, 2, 9) + 73.6 * 9 / 7, "il manque le terme des syllabes"),
            (_kandel(7, 2, 9) + 1.015 * 7 / 2, "il manque le terme de la longueur des phrases"),
            (207 - 1.015 * 2 / 7 - 73.6 * 9 / 7, "c'est mots / phrases, et non phrases / mots"),
            (207 - 1.015 * 7 / 2 - 73.6 * 7 / 9, "c'est syllabes / mots, et non mots / syllabes"),
            (207 - 1.015 * 7 / 2 - 0.736 * 9 / 7, "le facteur est 73,6"),
            (206.835 - 1.015 * 7 / 2 - 84.6 * 9 / 7, "c'est la formule anglaise de Flesch"),
        ],
        tolerance=0.002,
    ),
    (
        "trois comptes suffisent : les phrases, les mots, les syllabes telles qu'on les prononce.",
        "deux phrases, sept mots ; « Léa » et « contente » ont deux syllabes, les autres mots une.",
    ),
)

# Écrire `look_up(words)`.
look_up = Exercise(
    judges.Function(
        lambda words: words[words.index(words[-1]) + 1],
        [
            (["pib", "roi", "bif", "lune", "dof", "sel", "zan", "mer", "dof"],),
            (["bif", "lune", "dof", "sel", "bif"],),
            (["bif", "lune", "dof", "sel", "dof"],),
            (["zan", "mer", "zan"],),
        ],
        [
            (lambda words: words[-2], "c'est la dernière valeur montrée, quelle que soit la clé"),
            (lambda words: words[1], "c'est toujours la première valeur, quelle que soit la clé"),
            (lambda words: words[-1], "c'est la clé : on demande le mot qui la suit, plus haut"),
            (
                lambda words: words[words.index(words[-1]) - 1],
                "c'est le mot d'avant la clé : sa valeur est le mot d'après",
            ),
            (
                lambda words: words.index(words[-1]) + 1,
                "c'est le rang de la valeur ; on demande la valeur elle-même",
            ),
            (
                lambda words: words[words.index(words[-1]) + 2],
                "un rang de trop : la valeur suit la clé de près",
            ),
        ],
    ),
    (
        "où la dernière clé se trouve-t-elle pour la première fois ?",
        "`words.index(mot)` donne le premier rang d'un mot ; la valeur est juste après.",
    ),
)

KEYS = (("vel", "vel"), ("zer", "vel"), ("pib", "zer"), ("vel", "pib"))
ASKED = ("vel", "vel")
_SAME_LAST = sum(last == ASKED[1] for _, last in KEYS)

# La réussite de qui ne regarde que le dernier mot de la clé.
baseline = Exercise(
    judges.Number(
        Fraction(1, _SAME_LAST),
        [
            (Fraction(1, len(KEYS)), "ce repère-là choisit parmi les quatre exemples, au hasard"),
            (
                Fraction(1, sum("vel" in key for key in KEYS)),
                "« vel » doit être le dernier mot de la clé, non l'un des deux",
            ),
            (_SAME_LAST, "c'est un nombre d'exemples ; on demande une probabilité"),
            (1, "il hésite encore : plus d'un exemple finit ainsi"),
            (0, "l'exemple demandé est parmi ceux qui finissent ainsi : il peut tomber juste"),
        ],
        tolerance=1e-3,
    ),
    (
        "combien d'exemples finissent par « vel » ?",
        "il en tire un parmi ceux-là, au hasard ; un seul est le bon.",
    ),
)

LEAST_GAP, LEAST_COMMON = 30, 3


def _own_audiences(answer: Any) -> str:
    """Juge `(texte simple, texte savant)` : le même sujet, trente points d’écart."""
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        "on attend deux textes : `(simple, scholarly)`",
    )
    for text, what in zip(answer, ("le texte simple", "le texte savant"), strict=True):
        as_words(text, what, 30)
        require(readability(text).sentences >= 2, f"{what} n'a qu'une phrase : il en faut deux")
    simple, scholarly = (readability(text).kandel_moles for text in answer)
    common = set.intersection(*({w.lower() for w in words(t) if len(w) >= 5} for t in answer))
    require(
        len(common) >= LEAST_COMMON,
        "vos deux textes parlent-ils de la même chose ? Ils n'ont pas trois mots de cinq lettres "
        "en commun",
    )
    shown = f"{format_number(simple, 1)} pour le simple, {format_number(scholarly, 1)} pour l'autre"
    require(simple >= scholarly, f"le texte simple est le moins lisible des deux ({shown})")
    require(simple - scholarly >= LEAST_GAP, f"l'écart n'atteint pas trente points ({shown})")
    return f"L'indice de Kandel et Moles est de {shown}."


# Ouvert : dire la même chose à deux publics.
own_audiences = Exercise(
    _own_audiences,
    (
        "trente mots et deux phrases au moins pour chacun, et au moins trois mots en commun, pour "
        "que le sujet soit le même.",
        "l'indice ne connaît que la longueur des phrases et des mots : allongez les uns et les "
        "autres dans le texte savant, raccourcissez-les dans le simple.",
    ),
)
