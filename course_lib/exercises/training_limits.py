"""L’exercice des limites de l’entraînement : un anneau."""

from course_lib.exercises import judges
from course_lib.exercises.exercise import Exercise
from course_lib.parallel.volumes import Volume

WORKERS, PARAMETERS, GRADIENT_BYTES = 4, 8e9, 2
GRADIENT = PARAMETERS * GRADIENT_BYTES / 1e9
SENT = Volume(WORKERS, all_reduce=int(PARAMETERS * GRADIENT_BYTES)).sent_bytes / 1e9

# Les gigaoctets que chaque processus envoie à chaque pas.
ring = Exercise(
    judges.Number(
        SENT,
        [
            (GRADIENT, "c'est la taille du gradient ; en anneau, on en envoie davantage"),
            (SENT / 2, "c'est la moitié du chemin : réduire, puis répandre"),
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
        "pesez d'abord le gradient, puis cherchez le coût de l'all-reduce en anneau.",
        "chacun envoie 2 (n − 1)/n fois la taille du gradient.",
    ),
)
