"""Les exercices de la taille : doubler, garder une conversation, dépenser, dessiner un modèle."""

from typing import Any

from course_lib.exercises import judges
from course_lib.exercises.answers import type_name
from course_lib.exercises.exercise import Exercise, require
from course_lib.scaling import (
    count_by_formula,
    kv_cache_bytes,
    parameter_breakdown,
    training_flops_per_token,
)
from course_lib.transformer import LlamaConfig
from course_lib.typography import format_number, format_percent, large_number


def _matrices(d_model: int, d_ff: int) -> int:
    """Les paramètres des étages seuls, sans les normes."""
    parts = parameter_breakdown(LlamaConfig(1000, 64, d_model, 12, 4, d_ff=d_ff))
    return parts["attention"] + parts["feed_forward"]


def _whole(d_model: int) -> int:
    return count_by_formula(LlamaConfig(1000, 64, d_model, 12, 4, d_ff=4 * d_model))


# On double d et f : par combien les étages sont-ils multipliés ?
double_width = Exercise(
    judges.Number(
        _matrices(128, 512) / _matrices(64, 256),
        [
            (2, "c'est le dictionnaire qui double ; une matrice d × d, elle, a deux côtés"),
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
            (_whole(128) / _whole(64), "c'est le modèle entier ; on demande les étages seuls"),
        ],
        tolerance=1e-3,
    ),
    (
        "comptez 4 d² + 3 d f, avant et après.",
        "remplacez d par 2 d et f par 2 f dans chaque terme, et mettez en facteur.",
    ),
)

LAYERS, KV_HEADS, HEAD_DIM, LENGTH = 32, 8, 128, 4000
_CACHE = (
    kv_cache_bytes(
        LlamaConfig(1000, LENGTH, KV_HEADS * HEAD_DIM, LAYERS, KV_HEADS, head_dim=HEAD_DIM), LENGTH
    )
    / 1e6
)

# Les mégaoctets du cache d’une conversation de 4 000 jetons.
conversation_memory = Exercise(
    judges.Number(
        _CACHE,
        [
            (_CACHE / 2, "il manque un facteur 2 : des clés et des valeurs, sur deux octets"),
            (_CACHE / 4, "il manque deux facteurs 2 : clés et valeurs, et deux octets par nombre"),
            (2 * _CACHE, "il y a un facteur 2 de trop : deux octets par nombre, et non quatre"),
            (8 * _CACHE, "c'est en mégabits : un octet en vaut huit"),
            (_CACHE / KV_HEADS, "il y a huit têtes : vous n'en comptez qu'une"),
            (_CACHE / LAYERS, "chaque étage a son cache, et il y en a trente-deux"),
            (_CACHE / HEAD_DIM, "une tête n'est pas un nombre : elle en a 128"),
            (_CACHE / LENGTH, "c'est un seul jeton ; la conversation en compte 4 000"),
            (_CACHE / 1e3, "c'est en gigaoctets ; on demande des mégaoctets"),
            (_CACHE * 1e6, "c'est en octets ; on demande des mégaoctets"),
            (_CACHE * 1e6 / 2**20, "un mégaoctet est ici un million d'octets, et non 2²⁰"),
        ],
    ),
    (
        "par jeton et par étage : une clé et une valeur, de 8 × 128 nombres chacune.",
        "multipliez par deux octets, par le nombre d'étages, par le nombre de jetons ; puis "
        "divisez par un million.",
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
        f"les incrustations prennent {format_percent(share / total)} des paramètres : il en reste "
        "trop peu pour calculer",
    )
    tokens = 20 * total
    hours = tokens * training_flops_per_token(answer) / LAPTOP / 3600
    return (
        f"{format_number(total, 0)} paramètres, dont {format_percent(share / total)} "
        f"d'incrustations. À vingt jetons par paramètre : {large_number(tokens)} de jetons, et "
        f"{format_number(hours, 0)} heures d'un portable à cent milliards d'opérations par seconde."
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
