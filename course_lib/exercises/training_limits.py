"""Les exercices des limites de l’entraînement : se ressembler, tourner en anneau, enquêter."""

from typing import Any

from course_lib.cleaning.minhash import jaccard
from course_lib.exercises import judges
from course_lib.exercises.answers import as_number, as_words, type_name
from course_lib.exercises.exercise import Exercise, require
from course_lib.parallel.volumes import Volume
from course_lib.scaling.machines import MACHINES
from course_lib.typography import format_number, format_percent, large_number

FIRST, SECOND = "la pluie tombe fort sur nous", "la pluie tombe souvent sur nous"

# Deux phrases, des suites de deux mots : leur ressemblance ?
resemblance = Exercise(
    judges.Number(
        jaccard(FIRST, SECOND, 2),
        [
            (3, "ce sont les suites communes ; rapportez-les à toutes les suites"),
            (
                3 / 5,
                "ce sont les suites d'une seule phrase qui divisent ; il faut celles des deux",
            ),
            (
                3 / 10,
                "une suite présente des deux côtés ne compte qu'une fois dans l'union",
            ),
            (jaccard(FIRST, SECOND, 1), "ce sont les mots ; on demande les suites de deux mots"),
            (jaccard(FIRST, SECOND, 3), "ce sont les suites de trois mots ; on en demande deux"),
            (4 / 7, "c'est la part de ce qui diffère"),
        ],
    ),
    (
        "écrivez les cinq suites de deux mots de chaque phrase.",
        "comptez celles qui sont des deux côtés, et divisez par le nombre de suites différentes.",
    ),
)

WORKERS, PARAMETERS, GRADIENT_BYTES = 4, 8e9, 2
GRADIENT = PARAMETERS * GRADIENT_BYTES / 1e9
SENT = Volume(WORKERS, all_reduce=int(PARAMETERS * GRADIENT_BYTES)).sent_bytes / 1e9

# Les gigaoctets que chaque processus envoie à chaque pas.
ring = Exercise(
    judges.Number(
        SENT,
        [
            (GRADIENT, "c'est la taille du gradient ; en anneau, on en envoie davantage"),
            (SENT / 2, "c'est la moitié du chemin : additionner, puis recopier"),
            (2 * GRADIENT, "c'est 2 S ; le morceau que l'on garde ne voyage pas"),
            (
                2 * SENT,
                "deux fois trop : des gradients sur quatre octets, ou envoyés entiers à chacun",
            ),
            (WORKERS * SENT, "c'est ce qu'ils envoient tous ; on demande chacun"),
            (
                2 * WORKERS / (WORKERS - 1) * GRADIENT,
                "le rapport est retourné : c'est (n − 1)/n",
            ),
        ],
        tolerance=1e-3,
    ),
    (
        "pesez d'abord le gradient, puis comptez les morceaux que chacun envoie.",
        "chacun envoie 2 (n − 1) morceaux, d'un n-ième du gradient.",
    ),
)

TAUGHT = {"llama27b", "bloom", "llama31405b", "gpt3"}  # ceux que le chapitre a déjà comptés


def _own_training(answer: Any) -> str:
    """Juge `(modèle, paramètres, jetons, machine, heures, source)` : le compte tient-il debout ?"""
    require(
        isinstance(answer, tuple | list) and len(answer) == 6,
        "on attend six choses : `(modèle, paramètres, jetons, machine, heures, source)`",
    )
    name, parameters, tokens, machine, hours, source = answer
    require(
        isinstance(name, str) and name.strip(),
        f"le modèle est un nom, entre guillemets, pas {type_name(name)}",
    )
    plain = "".join(sign for sign in name.lower() if sign.isalnum())
    require(plain not in TAUGHT, "le chapitre a déjà compté celui-là : cherchez-en un autre")
    as_words(source, "votre source", 3)
    require(
        machine in MACHINES,
        f"la machine est l'une de celles-ci : {', '.join(MACHINES)}",
    )
    parameters, tokens, hours = (as_number(value) for value in (parameters, tokens, hours))
    require(
        1e6 <= parameters <= 1e14,
        f"{large_number(parameters)} paramètres : un nombre entier, non des milliards ? `8e9` en "
        "vaut huit",
    )
    require(
        1e6 <= tokens <= 1e15,
        f"{large_number(tokens)} jetons : un nombre entier ? `2e12` en vaut deux mille milliards",
    )
    require(hours > 0, "les heures sont celles de toutes les machines, additionnées")
    return _verdict(parameters, tokens, machine, hours)


def _verdict(parameters: float, tokens: float, machine: str, hours: float) -> str:
    """Ce que ces nombres impliquent ; Mistake s’ils se contredisent."""
    flops = 6 * parameters * tokens
    share = flops / (hours * 3600 * MACHINES[machine].peak("bfloat16"))
    require(
        share <= 1,
        f"ces heures demanderaient {format_number(share, 1)} fois la vitesse de pointe : une unité "
        "est fausse, ou le modèle n'emploie pas tous ses paramètres à chaque jeton",
    )
    require(
        share >= 0.02,
        f"ces heures n'emploieraient que {format_percent(share, 1)} de la vitesse de pointe : "
        "vérifiez les unités, et que ces heures sont celles de ce modèle seul",
    )
    energy = hours * MACHINES[machine].power / 1e6
    return (
        f"Vos nombres impliquent {format_percent(share)} de la vitesse de pointe, et "
        f"{format_number(energy, 1)} MWh à la puissance annoncée. Entre 30 et 45 %, ils "
        "ressemblent à ceux du chapitre ; ailleurs, cherchez pourquoi. Qui a posé un compteur ?"
    )


# Ouvert : un entraînement lu dans un article, recompté.
own_training = Exercise(
    _own_training,
    (
        "une fiche de modèle (« model card ») donne souvent les jetons, la machine et les heures.",
        "les heures sont celles de toutes les machines additionnées ; les nombres s'écrivent "
        "`8e9`, `15e12`.",
    ),
)
