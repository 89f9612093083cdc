"""Les exercices de la génération : refroidir, écrire min-p, écrire soi-même."""

from typing import Any

import torch

from course_lib.evaluation.diversity import distinct_ngrams
from course_lib.exercises import judges
from course_lib.exercises.answers import as_number, as_words, type_name
from course_lib.exercises.exercise import Exercise, require
from course_lib.generation import SamplingConfig, next_distribution
from course_lib.typography import format_number, format_percent


def _first(scores: torch.Tensor, **settings: float) -> float:
    """La probabilité du premier jeton, par la fonction du cours."""
    return float(next_distribution(scores, SamplingConfig(**settings))[0])


SEVENTHS = torch.tensor([4.0, 2.0, 1.0]).log()

# Trois jetons ont les probabilités 4/7, 2/7 et 1/7 ; la première à T = 1/2 ?
cool_down = Exercise(
    judges.Number(
        _first(SEVENTHS, temperature=0.5),
        [
            (4 / 7, "c'est la probabilité à T = 1"),
            ((4 / 7) ** 2, "le carré y est ; mais les trois probabilités n'ont plus pour somme 1"),
            (_first(SEVENTHS, temperature=2.0), "c'est T = 2 : refroidir divise par T = ½"),
            ((4 / 7) ** 0.5, "une racine est T = 2, et il faudrait remettre à l'échelle"),
            (8 / 7, "on divise par T le score, un logarithme, et non la probabilité"),
            (
                float(torch.tensor([8 / 7, 4 / 7, 2 / 7]).softmax(0)[0]),
                "le score d'un jeton est le logarithme de sa probabilité",
            ),
            (16, "c'est un poids ; on attend une probabilité : divisez par la somme des trois"),
        ],
        tolerance=0.005,
    ),
    (
        "le score d'un jeton est le logarithme de sa probabilité ; que devient-il, divisé par ½ ?",
        "doubler un logarithme, c'est élever au carré. Que faut-il faire ensuite pour que la somme "
        "revienne à 1 ?",
    ),
)


def _min_p(probabilities: list[float], min_p: float) -> list[float]:
    kept = [p if p >= min_p * max(probabilities) else 0.0 for p in probabilities]
    return [p / sum(kept) for p in kept]


def _unscaled(probabilities: list[float], min_p: float) -> list[float]:
    return [p if p >= min_p * max(probabilities) else 0.0 for p in probabilities]


def _absolute(probabilities: list[float], min_p: float) -> list[float]:
    kept = [p if p >= min_p else 0.0 for p in probabilities]
    return [p / sum(kept) for p in kept]


def _strict(probabilities: list[float], min_p: float) -> list[float]:
    kept = [p if p > min_p * max(probabilities) else 0.0 for p in probabilities]
    return [p / sum(kept) for p in kept]


def _removed(probabilities: list[float], min_p: float) -> list[float]:
    return [p for p in _min_p(probabilities, min_p) if p > 0]


def _over_maximum(probabilities: list[float], min_p: float) -> list[float]:
    return [p / max(probabilities) for p in _unscaled(probabilities, min_p)]


def _below(probabilities: list[float], min_p: float) -> list[float]:
    kept = [p if p <= min_p * max(probabilities) else 0.0 for p in probabilities]
    return [p / sum(kept) for p in kept]


# Écrire `my_min_p(probabilities, min_p)`.
write_min_p = Exercise(
    judges.Function(
        _min_p,
        [
            ([0.5, 0.3, 0.2], 0.5),
            ([0.5, 0.25, 0.25], 0.5),  # une égalité : « plus petite que » ne l'écarte pas
            ([0.1, 0.9], 1.0),
            ([0.6, 0.2, 0.2], 0.0),
            ([0.05, 0.15, 0.8], 0.1),
            ([1.0], 0.3),
        ],
        [
            (_unscaled, "la coupe est juste, mais ce qui reste n'a plus pour somme 1"),
            (_absolute, "le seuil est `min_p` fois la plus grande probabilité, et non `min_p`"),
            (_strict, "une probabilité égale au seuil n'est pas plus petite que lui : gardez-la"),
            (
                _removed,
                "une probabilité annulée reste à sa place, à zéro : la liste ne raccourcit pas",
            ),
            (_over_maximum, "remettre à l'échelle, c'est diviser par la somme, non par le maximum"),
            (_below, "vous gardez les petites et vous annulez les grandes"),
        ],
    ),
    (
        "deux gestes : annuler ce qui est sous un seuil, puis rendre à la somme sa valeur de 1.",
        "le seuil dépend de `max(probabilities)` ; la division vient en dernier, par la somme de "
        "ce qui reste.",
    ),
)


def _own_beginning(answer: Any) -> str:
    """Juge `(début, {température: [textes]})` : les textes sont-ils ceux de ce début ?"""
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        "on attend votre début, puis vos "
        "textes, rangés par température : `(début, {température: [textes]})`",
    )
    beginning, written = answer
    as_words(beginning, "votre début", 3)
    require(beginning == beginning.strip(), "ôtez l'espace au bord de votre début")
    require(
        beginning.lower() not in ("il était une fois", "le comte entra dans le salon"),
        "ce début est celui du chapitre : trouvez le vôtre",
    )
    require(isinstance(written, dict), f"on attend un dictionnaire, pas {type_name(written)}")
    require(len(written) >= 2, "essayez au moins deux températures")
    lots = {as_number(t): _lot(t, texts, beginning) for t, texts in written.items()}
    require(
        len({len(texts) for texts in lots.values()}) == 1,
        "on ne compare que des lots de même taille : autant de textes à chaque température",
    )
    return (
        "Part des groupes de quatre mots qui ne sont pas des redites : "
        + " ; ".join(
            f"{format_percent(distinct_ngrams(texts))} à T = {format_number(t)}"
            for t, texts in sorted(lots.items())
        )
        + "."
    )


def _lot(temperature: Any, texts: Any, beginning: str) -> list[str]:
    """Les textes d’une température, s’ils continuent bien le début."""
    where = f"à T = {temperature}"
    require(as_number(temperature) >= 0, f"{where} : une température n'est pas négative")
    require(isinstance(texts, list | tuple), f"{where}, on attend une liste de textes")
    require(len(texts) >= 3, f"{where}, écrivez au moins trois textes")
    for text in texts:
        require(isinstance(text, str), f"{where}, on attend des textes, pas {type_name(text)}")
        require(text.startswith(beginning), f"{where}, un texte ne commence pas par votre début")
        require(
            len(text.split()) >= len(beginning.split()) + 5,
            f"{where}, un texte n'a presque rien ajouté à votre début",
        )
    if temperature > 0:
        require(len(set(texts)) > 1, f"{where}, vos textes sont tous les mêmes : changez de graine")
    return list(texts)


# Ouvert : votre début, trois textes à chacune de deux températures au moins.
own_beginning = Exercise(
    _own_beginning,
    (
        "à chaque température, écrivez votre début puis ses suites, une par graine : "
        "`writer.complete(beginning, 60, seed=0, …)`.",
        "la réponse a la forme `(beginning, {0.3: [a, b, c], 1.0: [d, e, f]})`.",
    ),
)
