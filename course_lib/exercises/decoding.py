"""L’exercice de l’annexe sur l’écriture : la borne qu’y met la mémoire."""

from course_lib.exercises import judges
from course_lib.exercises.exercise import Exercise

PARAMETERS, BITS, BANDWIDTH = 8e9, 4.5, 100e9
BOUND = BANDWIDTH / (PARAMETERS * BITS / 8)

# Les jetons par seconde d’un modèle de 8 milliards sur 4,5 bits.
bound = Exercise(
    judges.Number(
        BOUND,
        [
            (BOUND * BITS / 4, "les échelles comptent : 4,5 bits par poids, et non 4"),
            (BOUND / 8, "un octet a huit bits : vous lisez huit fois trop"),
            (BOUND * 8, "vous divisez deux fois par huit : il n'y a qu'un passage aux octets"),
            (BANDWIDTH / (2 * PARAMETERS), "ce serait sur seize bits par poids"),
            (BANDWIDTH / PARAMETERS, "ce serait sur huit bits par poids"),
            (1 / BOUND, "ce sont des secondes par jeton"),
            (PARAMETERS * BITS / 8 / 1e9, "ce sont les gigaoctets à lire par jeton"),
            (BOUND / 2, "c'est moitié moins : chaque poids n'est lu qu'une fois par jeton"),
        ],
        tolerance=0.015,
    ),
    (
        "écrire un jeton, c'est lire tous les poids : combien d'octets cela fait-il ?",
        "divisez ce que la mémoire livre en une seconde par ce qu'il faut lire pour un jeton.",
    ),
)
