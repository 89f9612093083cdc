"""Les exercices de la distillation : une température, un gradient, un cache, un élève à soi."""

import math
from typing import Any

import torch

from course_lib.corpora import generate_stories
from course_lib.distillation import forward_kl
from course_lib.exercises import judges
from course_lib.exercises.answers import type_name
from course_lib.exercises.exercise import Exercise, require
from course_lib.models import load_petit_llm
from course_lib.transformer import Decoder, count_parameters, evaluating
from course_lib.typography import format_number

SCORES = torch.tensor([2.0, 0.0, 0.0])


def _first(temperature: float) -> float:
    return float((SCORES / temperature).softmax(0)[0])


def _without_third(temperature: float) -> float:
    return float((SCORES[:2] / temperature).softmax(0)[0])


# Scores 2, 0, 0 : la probabilité du premier à T = 1, puis à T = 2.
temperature = Exercise(
    judges.Numbers(
        [_first(1), _first(2)],
        [
            (
                [_first(1), _first(0.5)],
                "à T = 2, vous avez multiplié les scores au lieu de diviser",
            ),
            ([_first(2), _first(1)], "les deux températures sont dans l'autre ordre"),
            (
                [_without_third(1), _without_third(2)],
                "il y a trois mots : les deux scores nuls comptent chacun pour 1",
            ),
            ([_first(1), _first(1) / 2], "T divise les scores, et non les probabilités"),
            ([_first(1), _first(1)], "à T = 2, rien n'a changé : divisez d'abord les scores"),
            ([math.exp(2), math.e], "ce sont des exponentielles : divisez par leur somme"),
            ([1.0, 0.5], "un score nul a pour exponentielle 1, et non 0"),
            ([1.0, 1.0], "un score nul a pour exponentielle 1, et non 0"),
            ([_first(1), _first(math.sqrt(2))], "T divise les scores ; pas sa racine"),
        ],
    ),
    (
        "le softmax des scores, puis celui des scores divisés par T.",
        "à T = 1, les exponentielles sont e², 1 et 1 ; à T = 2, e, 1 et 1. Divisez la première par "
        "la somme.",
    ),
)

# Écrire `soft_gradient(student, teacher)`.
gradient = Exercise(
    judges.Function(
        lambda student, teacher: [q - p for q, p in zip(student, teacher, strict=True)],
        [
            ([0.5, 0.5], [0.9, 0.1]),
            ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
            ([0.1, 0.2, 0.7], [0.6, 0.3, 0.1]),
            ([0.25, 0.75], [0.0, 1.0]),
        ],
        [
            (
                lambda student, teacher: [p - q for q, p in zip(student, teacher, strict=True)],
                "le signe est retourné : l'élève descendrait en s'éloignant",
            ),
            (
                lambda student, teacher: [-p / q for q, p in zip(student, teacher, strict=True)],
                "c'est le gradient par rapport aux probabilités ; on le demande pour les scores",
            ),
            (
                lambda student, teacher: [
                    math.log(q) - math.log(p) for q, p in zip(student, teacher, strict=True)
                ],
                "c'est l'écart des logarithmes ; celui des probabilités suffit",
            ),
            (
                lambda student, teacher: [
                    p * math.log(p / q) for q, p in zip(student, teacher, strict=True)
                ],
                "ce sont les termes de la divergence, et non son gradient",
            ),
            (
                lambda student, teacher: [
                    abs(q - p) for q, p in zip(student, teacher, strict=True)
                ],
                "un gradient a un signe : il dit s'il faut monter ou descendre",
            ),
            (
                lambda student, teacher: [
                    (q - p) ** 2 for q, p in zip(student, teacher, strict=True)
                ],
                "ce sont des écarts au carré",
            ),
            (
                lambda student, teacher: [
                    q * (q - p) for q, p in zip(student, teacher, strict=True)
                ],
                "le facteur devant l'écart est de trop : le softmax l'a déjà pris en compte",
            ),
        ],
    ),
    (
        "il est nul quand l'élève est d'accord, et d'autant plus grand qu'il donne trop.",
        "pour chaque mot, comparez ce que donne l'élève à ce que donne l'enseignant.",
    ),
)

VOCABULARY, TOKENS, PROBABILITY_BYTES, KEPT, ID_BYTES = 49_152, 10**7, 2, 32, 4


def _gigabytes(bytes_per_token: float) -> float:
    return TOKENS * bytes_per_token / 1e9


_ALL = _gigabytes(VOCABULARY * PROBABILITY_BYTES)
_SOME = _gigabytes(KEPT * (PROBABILITY_BYTES + ID_BYTES))

# Les gigaoctets d’un cache d’enseignant : tout, puis 32 probabilités par jeton.
cache_weight = Exercise(
    judges.Numbers(
        [_ALL, _SOME],
        [
            (
                [_ALL, _gigabytes(KEPT * PROBABILITY_BYTES)],
                "à chaque probabilité gardée, il faut joindre son numéro",
            ),
            (
                [_ALL, _gigabytes(KEPT * ID_BYTES)],
                "vous ne comptez que les numéros : les probabilités aussi pèsent",
            ),
            ([_ALL / 2, _SOME / 2], "une probabilité tient sur deux octets"),
            (
                [_ALL / 2, _gigabytes(KEPT * (1 + ID_BYTES))],
                "une probabilité tient sur deux octets",
            ),
            ([_ALL * 1e9 / 2**30, _SOME * 1e9 / 2**30], "un gigaoctet est ici 10⁹ octets"),
            ([_ALL * 1e3, _SOME * 1e3], "c'est en mégaoctets"),
            ([_ALL / 1e3, _SOME / 1e3], "c'est en téraoctets"),
            ([_ALL * 8, _SOME * 8], "c'est en gigabits : un octet en vaut huit"),
            (
                [_gigabytes(VOCABULARY * (PROBABILITY_BYTES + ID_BYTES)), _SOME],
                "quand on garde tout, le rang dit le numéro : inutile de l'écrire",
            ),
            ([_SOME, _ALL], "les deux réponses sont dans l'autre ordre"),
        ],
        tolerance=0.015,
    ),
    (
        "combien d'octets par jeton lu, dans chaque cas ?",
        "par jeton lu : 49 152 nombres de deux octets ; puis 32 nombres, avec leur numéro.",
    ),
)

N_STORIES = 20


@torch.no_grad()
def _distances(student: Decoder, teacher: Decoder, rows: list[list[int]]) -> tuple[float, float]:
    """KL(enseignant ‖ élève) et KL(enseignant ‖ hasard), en nats par jeton."""
    ours, chance, n_tokens = 0.0, 0.0, 0
    with evaluating(student), evaluating(teacher):
        for row in rows:
            ids = torch.tensor([row])
            advice = teacher(ids)
            ours += float(forward_kl(student(ids), advice)) * len(row)
            chance += float(forward_kl(torch.zeros_like(advice), advice)) * len(row)
            n_tokens += len(row)
    return ours / n_tokens, chance / n_tokens


def _own_student(answer: Any) -> str:
    """Juge un élève du petit LLM : assez petit, et assez proche."""
    require(
        isinstance(answer, Decoder),
        f"on attend votre élève, un décodeur comme ceux de `llama(…)`, pas {type_name(answer)}",
    )
    teacher, tokenizer = load_petit_llm()
    width, wanted = (m.embedding.tokens.weight.shape[0] for m in (answer, teacher))
    require(
        width == wanted,
        f"le vocabulaire de l'élève a {width} jetons, celui de l'enseignant {wanted}",
    )
    ratio = count_parameters(teacher) / count_parameters(answer)
    require(
        ratio >= 2,
        f"l'élève n'est que {format_number(ratio, 1)} fois plus petit que l'enseignant",
    )
    stories = generate_stories(N_STORIES, "test")
    rows = [[tokenizer.bos_id, *tokenizer.encode(story.text)] for story in stories]
    ours, chance = _distances(answer, teacher, rows)
    shown = f"{format_number(ours, 2)} nat par jeton, contre {format_number(chance, 2)} au hasard"
    require(ours < chance / 2, f"votre élève est encore loin de l'enseignant ({shown})")
    return (
        f"Votre élève est {format_number(ratio, 1)} fois plus petit que l'enseignant, et en "
        f"diffère de {shown}, sur des histoires nouvelles."
    )


# Ouvert : votre élève.
own_student = Exercise(
    _own_student,
    (
        "un `llama` plus étroit, entraîné avec `SoftTargetLoss(teacher)` sur des histoires.",
        "gardez le vocabulaire de l'enseignant ; réduisez `d_model` et `d_ff`, et comptez quelques "
        "centaines de pas.",
    ),
)
