"""Lire une réponse, sous les formes qu’un lecteur peut lui donner, et dire ce qui ne va pas.

Liste, tuple, tableau numpy, tenseur torch, fraction, masque flottant ou booléen : tout ce qui est
numérique devient un tableau. Le reste est raconté au lecteur par une `Mistake`.
"""

import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from course_lib.checks import detach, show_value
from course_lib.exercises.exercise import Mistake, require


def as_numbers(answer: Any) -> np.ndarray:
    """Rend la réponse en tableau de réels finis, de forme quelconque.

    Mistake si ce n’est pas numérique, si les lignes sont inégales, ou si une valeur est infinie ou
    indéfinie.
    """
    numbers = _as_array(answer)
    if not np.isfinite(numbers).all():
        raise Mistake("votre réponse contient une valeur infinie ou indéfinie (nan)")
    return numbers


def as_number(answer: Any) -> float:
    """Rend la réponse en réel fini ; un booléen n’est pas un nombre.

    Mistake si ce n’est pas un nombre ; « 0,5 », que Python lit comme deux nombres, est reconnu.
    """
    if isinstance(answer, bool | np.bool_):
        raise Mistake("votre réponse est un booléen ; on attend un nombre")
    if isinstance(answer, tuple) and len(answer) == 2 and all(type(x) is int for x in answer):
        raise Mistake(
            "vous avez donné deux nombres ; pour Python, la virgule sépare, et les décimales "
            "suivent un point, comme dans `3.14`"
        )
    numbers = as_numbers(answer)
    require(numbers.size == 1, f"on attend un seul nombre ; vous en donnez {numbers.size}")
    return float(numbers.reshape(()))


def as_integer(answer: Any) -> int:
    """Rend la réponse en entier ; 12.0 est un entier, 12.3 n’en est pas un. Mistake sinon."""
    number = as_number(answer)
    require(number.is_integer(), f"{show_value(number)} n'est pas un nombre entier")
    return int(number)


def as_list(answer: Any) -> list:
    """Rend une suite en liste. Mistake pour un texte, un ensemble, ce qui n’est pas une suite."""
    refuse_strangers(answer)
    if isinstance(answer, str | bytes) or not isinstance(answer, Iterable):
        raise Mistake(f"on attend une liste, pas {type_name(answer)}")
    return list(answer)


def as_words(answer: Any, what: str = "votre réponse", minimum: int = 1) -> list[str]:
    """Découpe un texte du lecteur en mots. Mistake si c’est trop court, ou si rien n’y varie."""
    require(answer is not ..., f"il manque {what}")
    require(isinstance(answer, str), f"{what} devrait être un texte, pas {type_name(answer)}")
    words = answer.split()
    require(
        len(words) >= minimum,
        f"{what} compte {len(words)} mot{'s' * (len(words) > 1)} ; il en faut au moins {minimum}",
    )
    distinct = len({word.lower() for word in words})
    require(2 * distinct >= len(words) or distinct > 200, f"{what} répète trop les mêmes mots")
    return words


def refuse_strangers(answer: Any) -> None:
    """Mistake pour ce qui n’est jamais une réponse : None, une fonction, un ensemble…"""
    if answer is None:
        raise Mistake("votre réponse vaut None, ce que rend `print` : donnez le résultat lui-même")
    if isinstance(answer, types.FunctionType | types.MethodType):
        raise Mistake("vous donnez une fonction, et non son résultat")
    if isinstance(answer, set | frozenset | dict):
        raise Mistake(f"on attend un nombre ou une suite ordonnée, pas {type_name(answer)}")


def type_name(value: Any) -> str:
    """Le nom français d’un type : « un texte », « une liste »…"""
    names = {
        type(None): "None",
        bool: "un booléen",
        str: "un texte",
        int: "un entier",
        float: "un nombre",
        list: "une liste",
        tuple: "un tuple",
        set: "un ensemble",
        dict: "un dictionnaire",
    }
    return names.get(type(value), f"un objet de type {type(value).__name__}")


def _as_array(answer: Any) -> np.ndarray:
    """Le tableau de réels d’une réponse, fût-il plein de nan."""
    refuse_strangers(answer)
    if isinstance(answer, str):
        raise Mistake("on attend un nombre, pas un texte : ôtez les guillemets")
    if isinstance(answer, map | filter | range | zip | types.GeneratorType):
        answer = list(answer)
    if isinstance(answer, list | tuple):
        require(answer, "votre réponse est vide")
        answer = [detach(part) for part in answer]
    try:
        array = np.asarray(detach(answer))
        if array.dtype.kind in "USc":
            raise TypeError("ni texte ni complexe")
        return array.astype(float)
    except (TypeError, ValueError):
        raise Mistake(_why_not_numeric(answer)) from None


def _why_not_numeric(answer: Any) -> str:
    """Dit pourquoi une réponse ne fait pas un tableau de nombres."""
    parts = answer if isinstance(answer, list | tuple) else [answer]
    if any(part is ... for part in parts):
        return "il reste des points de suspension dans votre réponse"
    if any(isinstance(part, str) for part in parts):
        return "on attend des nombres, pas du texte : ôtez les guillemets"
    if len({len(part) for part in parts if hasattr(part, "__len__")}) > 1:
        return "les lignes de votre réponse n'ont pas toutes la même longueur"
    return f"on attend des nombres, pas {type_name(parts[0])}"
