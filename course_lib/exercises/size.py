"""Les exercices de la taille : doubler, loger, dépenser, dessiner un modèle."""

from dataclasses import replace
from typing import Any

from course_lib.exercises import judges
from course_lib.exercises.answers import type_name
from course_lib.exercises.exercise import Exercise, require
from course_lib.scaling import (
    count_by_formula,
    parameter_breakdown,
    training_flops_per_token,
    training_memory,
)
from course_lib.transformer import LlamaConfig
from course_lib.typography import format_number, format_percent, large_number


def _matrices(d_model: int, d_ff: int) -> int:
    """Les paramètres des blocs seuls, sans les normes."""
    parts = parameter_breakdown(LlamaConfig(1000, 64, d_model, 12, 4, d_ff=d_ff))
    return parts["attention"] + parts["feed_forward"]


def _whole(d_model: int) -> int:
    return count_by_formula(LlamaConfig(1000, 64, d_model, 12, 4, d_ff=4 * d_model))


# On double d et f : par combien les blocs sont-ils multipliés ?
double_width = Exercise(
    judges.Number(
        _matrices(128, 512) / _matrices(64, 256),
        [
            (2, "c'est la table de plongement qui double ; une matrice d × d, elle, a deux côtés"),
            (8, "il y a deux côtés à doubler, pas trois"),
            (16, "les deux termes ne se multiplient pas : ils s'ajoutent"),
            (
                _matrices(128, 256) / _matrices(64, 256),
                "vous n'avez doublé que d : f double aussi",
            ),
            (
                _matrices(64, 512) / _matrices(64, 256),
                "vous n'avez doublé que f : d double aussi",
            ),
            (_whole(128) / _whole(64), "c'est le modèle entier ; on demande les blocs seuls"),
        ],
        tolerance=1e-3,
    ),
    (
        "comptez 4 d² + 3 d f, avant et après.",
        "remplacez d par 2 d et f par 2 f dans chaque terme, et mettez en facteur.",
    ),
)

PARAMETERS = 3e9
_TOY = LlamaConfig(vocab_size=1000, context_length=64, d_model=64, n_layers=2, n_heads=4)
_KEPT = replace(training_memory(_TOY, dtype="bfloat16"), activations=0.0)
_GIGABYTES = _KEPT.total / count_by_formula(_TOY) * PARAMETERS / 1e9

# Les gigaoctets qu’il faut pour entraîner trois milliards de paramètres, sans les activations.
learning_memory = Exercise(
    judges.Number(
        _GIGABYTES,
        [
            (
                _GIGABYTES / 8,
                "ce sont les poids seuls : c'est lire, non apprendre",
            ),
            (_GIGABYTES / 4, "ce sont les poids et leurs gradients ; l'optimiseur garde bien plus"),
            (_GIGABYTES * 12 / 16, "il manque la copie du poids en simple précision"),
            (_GIGABYTES * 8 / 16, "il manque une des deux moyennes, et la copie du poids"),
            (_GIGABYTES * 20 / 16, "en demi-précision, poids et gradient tiennent sur deux octets"),
            (_GIGABYTES * 8, "c'est en gigabits : un octet en vaut huit"),
            (_GIGABYTES * 1e3, "c'est en mégaoctets ; on demande des gigaoctets"),
            (_GIGABYTES / 1e3, "c'est en téraoctets ; on demande des gigaoctets"),
            (_GIGABYTES * 1e9, "c'est en octets ; on demande des gigaoctets"),
            (_GIGABYTES * 1e9 / 2**30, "un gigaoctet est ici un milliard d'octets, et non 2³⁰"),
            (_GIGABYTES / PARAMETERS * 1e9, "ce sont les octets d'un seul paramètre"),
        ],
    ),
    (
        "comptez d'abord les octets qui s'attachent à un paramètre.",
        "poids, gradient, deux moyennes, copie : additionnez, puis multipliez par le nombre de "
        "paramètres et divisez par un milliard.",
    ),
)

BUDGET = 6e19
_MILLIONS = (BUDGET / 120) ** 0.5 / 1e6

# Vingt jetons par paramètre, 6 × 10¹⁹ opérations : combien de millions de paramètres ?
spend_budget = Exercise(
    judges.Number(
        _MILLIONS,
        [
            ((BUDGET / 20) ** 0.5 / 1e6, "il manque le 6 de C = 6 N D"),
            ((BUDGET / 6) ** 0.5 / 1e6, "c'est autant de jetons que de paramètres : D vaut 20 N"),
            ((BUDGET / 40) ** 0.5 / 1e6, "2 N D est le prix d'une lecture ; apprendre coûte 6 N D"),
            (20 * _MILLIONS, "c'est le nombre de jetons, en millions ; on demande les paramètres"),
            (BUDGET / 120 / 1e6, "c'est N² : il reste une racine à prendre"),
            (_MILLIONS * 1e6, "c'est le nombre de paramètres ; on le demande en millions"),
            (_MILLIONS / 1e3, "c'est en milliards ; on demande des millions"),
        ],
        tolerance=0.015,
    ),
    (
        "dans C = 6 N D, remplacez D par ce que la règle en dit.",
        "il reste C = 120 N² ; résolvez, puis divisez par un million.",
    ),
)

MOST, LEAST, MOST_EMBEDDINGS = 10_000_000, 9_000_000, 0.25
LAPTOP = 1e11  # opérations par seconde


def _own_model(answer: Any) -> str:
    """Juge un `LlamaConfig` : dix millions de paramètres bien employés ; en donne le prix."""
    require(isinstance(answer, LlamaConfig), f"on attend un `LlamaConfig`, pas {type_name(answer)}")
    require(answer.vocab_size >= 4000, "le vocabulaire doit compter au moins 4 000 jetons")
    require(answer.context_length >= 256, "le modèle doit lire au moins 256 jetons")
    parts = parameter_breakdown(answer)
    total = sum(parts.values())
    found = f"il a {format_number(total, 0)} paramètres"
    require(total <= MOST, f"votre modèle est trop gros : {found}")
    require(total >= LEAST, f"votre modèle pourrait être plus gros : {found}")
    share = parts["embeddings"] + parts["head"]
    require(
        share <= MOST_EMBEDDINGS * total,
        f"la table de plongement prend {format_percent(share / total)} des paramètres : il "
        "en reste trop peu pour calculer",
    )
    tokens = 20 * total
    hours = tokens * training_flops_per_token(answer) / LAPTOP / 3600
    return (
        f"{format_number(total, 0)} paramètres, dont {format_percent(share / total)} "
        f"pour la table de plongement. À vingt jetons par paramètre : {large_number(tokens)} de "
        f"jetons, et {format_number(hours, 0)} heures d'un portable à cent milliards d'opérations "
        "par seconde."
    )


# Ouvert : dessiner un modèle de dix millions de paramètres.
own_model = Exercise(
    _own_model,
    (
        "un étage pèse 4 d² + 3 d f, le dictionnaire V d : que faut-il réduire, ou augmenter ?",
        "comptez à chaque essai avec `scaling.parameter_breakdown(config)`. Plus d'étages ne "
        "change pas le dictionnaire ; plus de largeur les change tous deux.",
    ),
)
