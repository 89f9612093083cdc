"""Les exercices des limites de l’emploi : un mot cherché, une calibration, la vôtre."""

import math
from typing import Any

from course_lib.evaluation.calibration import calibration_error
from course_lib.exercises import judges
from course_lib.exercises.answers import as_numbers
from course_lib.exercises.exercise import Exercise, require
from course_lib.retrieval import BM25
from course_lib.typography import format_number, format_percent


def _total(bins: list[tuple[int, float, float]]) -> int:
    return sum(n for n, _, _ in bins)


# Ce que vaut, pour BM25, un mot présent dans une fiche sur neuf.
word_weight = Exercise(
    judges.Number(
        BM25(["un mot", *["autre"] * 8]).weight("mot"),
        [
            (math.log(9), "il manque les demis : comptez 0,5 de plus en haut comme en bas"),
            (math.log(8), "il manque les demis : comptez 0,5 de plus en haut comme en bas"),
            (8.5 / 1.5, "il reste à prendre le logarithme"),
            (math.log10(8.5 / 1.5), "c'est le logarithme décimal : prenez le naturel"),
            (math.log(1.5 / 8.5), "la fraction est retournée : un mot rare vaut davantage"),
            (0.0, "seul un mot de plus de la moitié des fiches ne vaut rien"),
        ],
    ),
    (
        "N est le nombre de fiches, n le nombre de celles qui contiennent le mot.",
        "en haut, les fiches sans le mot ; en bas, celles qui l'ont ; ajoutez 0,5 à chacun.",
    ),
)

# Écrire `calibration_gap(bins)`.
write_gap = Exercise(
    judges.Function(
        lambda bins: sum(n * abs(sure - right) for n, sure, right in bins) / _total(bins),
        [
            ([(10, 0.9, 0.5), (30, 0.2, 0.2)],),
            ([(10, 0.9, 0.9)],),
            ([(1, 0.5, 1.0), (1, 0.7, 0.2)],),
            ([(6, 0.3, 0.5), (2, 0.9, 0.4), (0, 0.0, 0.0)],),
        ],
        [
            (
                lambda bins: sum(abs(sure - right) for _, sure, right in bins) / len(bins),
                "chaque tranche doit compter selon son effectif",
            ),
            (
                lambda bins: sum(n * abs(sure - right) for n, sure, right in bins),
                "il reste à diviser par le nombre total de réponses",
            ),
            (
                lambda bins: sum(n * abs(sure - right) for n, sure, right in bins) / len(bins),
                "divisez par le nombre de réponses, non par celui des tranches",
            ),
            (
                lambda bins: sum(n * (sure - right) for n, sure, right in bins) / _total(bins),
                "sans valeur absolue, les excès et les défauts se compensent",
            ),
            (
                lambda bins: sum(n * (right - sure) for n, sure, right in bins) / _total(bins),
                "il manque la valeur absolue, et le signe est retourné",
            ),
            (
                lambda bins: sum(n * (sure - right) ** 2 for n, sure, right in bins) / _total(bins),
                "c'est un écart au carré : on demande l'écart absolu",
            ),
            (
                lambda bins: max(abs(sure - right) for _, sure, right in bins),
                "c'est le plus grand écart : on en demande la moyenne",
            ),
        ],
    ),
    (
        "trois gestes : l'écart de chaque tranche, son poids, le total.",
        "additionnez effectif × |confiance − justesse|, puis divisez par la somme des effectifs.",
    ),
)

# L’énoncé, dans le chapitre, donne ces phrases dans cet ordre.
STATEMENTS = (
    ("La Loire est plus longue que la Seine.", True),
    ("Le son va plus vite dans l'air que dans l'eau.", False),
    ("Lyon est plus au nord que Montréal.", True),
    ("91 est premier.", False),
    ("Mozart est mort avant la naissance de Beethoven.", False),
    ("L'Afrique a plus de cinquante États.", True),
    ("L'huile est plus dense que l'eau.", False),
    ("Victor Hugo est né après 1789.", True),
    ("L'Australie est plus large que la Lune.", True),
    ("Vénus est plus près du Soleil que Mercure.", False),
)


def _own_calibration(answer: Any) -> str:
    """Juge dix probabilités : sont-ce des probabilités ? Puis dit ce qu’elles valent."""
    chances = as_numbers(answer)
    require(
        chances.shape == (len(STATEMENTS),),
        f"on attend dix nombres ; vous en donnez {chances.size}",
    )
    require(
        chances.min() >= 0 and chances.max() <= 1,
        "une probabilité est entre 0 et 1 : écrivez 0.8 pour 80 %",
    )
    require(set(chances) != {0.5}, "une chance sur deux partout, c'est ne rien dire")
    sure = [max(p, 1 - p) for p in chances]
    right = [(p >= 0.5) == truth for p, (_, truth) in zip(chances, STATEMENTS, strict=True)]
    n_right, announced = sum(right), sum(sure)
    gap = calibration_error(sure, right, n_bins=5)
    verdict = "trop sûr de vous" if announced > n_right + 1 else "à peu près calibré"
    if announced < n_right - 1:
        verdict = "trop prudent"
    return (
        f"Vous penchez du bon côté {n_right} fois sur dix ; votre confiance en annonçait "
        f"{format_number(announced, 1)}. Vous voilà {verdict}. Écart de calibration : "
        f"{format_percent(gap)} ; dix questions en disent peu."
    )


# Ouvert : dix affirmations, et votre confiance.
own_calibration = Exercise(
    _own_calibration,
    (
        "pour chaque phrase, la probabilité que vous lui donnez d'être vraie : 1 si vous en êtes "
        "certain, 0 si vous êtes certain du contraire.",
        "donnez une liste de dix nombres entre 0 et 1, dans l'ordre de l'énoncé.",
    ),
)
