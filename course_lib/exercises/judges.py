"""Les juges : un nombre, un entier, un tableau, une suite de textes, une fonction.

Chacun connaît la bonne réponse et les fautes courantes, avec ce qu’il faut en dire. Une faute est
une réponse `(valeur, message)` ; pour une fonction, une imitation `(fonction fausse, message)`.
Mistake si la réponse est fausse.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.checks import detach, show_value
from course_lib.exercises.answers import as_integer, as_list, as_number, as_numbers, type_name
from course_lib.exercises.exercise import Blank, Mistake, require

Mistakes = Sequence[tuple[Any, str]]
ROUNDING = 0.01  # deux chiffres justes suffisent à qui compte à la main
_SMALLEST = 1e-2  # sous cette valeur, l’écart toléré ne rétrécit plus
_NOTHING = object()


@dataclass(frozen=True)
class Number:
    """Un réel, à `tolerance` près (relative)."""

    expected: float
    mistakes: Mistakes = ()
    tolerance: float = ROUNDING

    def __call__(self, answer: Any) -> None:
        """Juge la réponse."""
        found = as_number(answer)
        if _near(found, self.expected, self.tolerance):
            return
        for value, message in self.mistakes:
            require(not _near(found, value, self.tolerance / 2), message)
        if 0 < self.expected < 1 and _near(found, 100 * self.expected, self.tolerance):
            raise Mistake("c'est un pourcentage ; on attend un nombre entre 0 et 1")
        raise Mistake(f"{show_value(found)} n'est pas la bonne valeur")


@dataclass(frozen=True)
class Integer:
    """Un entier, exactement."""

    expected: int
    mistakes: Mistakes = ()

    def __call__(self, answer: Any) -> None:
        """Juge la réponse."""
        found = as_integer(answer)
        if found == self.expected:
            return
        for value, message in self.mistakes:
            require(found != value, message)
        raise Mistake(f"{show_value(found)} n'est pas la bonne valeur")


@dataclass(frozen=True)
class Numbers:
    """Un tableau de réels : sa forme, puis ses valeurs, à `tolerance` près."""

    expected: Any
    mistakes: Mistakes = ()
    tolerance: float = ROUNDING

    def __call__(self, answer: Any) -> None:
        """Juge la réponse."""
        found, wanted = as_numbers(answer), as_numbers(self.expected)
        if _alike(found, wanted, self.tolerance):
            return
        for value, message in self.mistakes:
            require(not _alike(found, as_numbers(value), self.tolerance / 2), message)
        require(found.shape == wanted.shape, f"la forme de votre réponse est {found.shape}")
        if _alike(np.sort(found, axis=None), np.sort(wanted, axis=None), self.tolerance):
            raise Mistake("les valeurs sont les bonnes, mais pas à leur place")
        raise Mistake(_first_difference(_differs(found, wanted, self.tolerance)))


@dataclass(frozen=True)
class Texts:
    """Une suite de textes, dans l’ordre ; les espaces du bord ne comptent pas."""

    expected: Sequence[str]
    mistakes: Mistakes = ()

    def __call__(self, answer: Any) -> None:
        """Juge la réponse."""
        found, wanted = as_list(answer), list(self.expected)
        for text in found:
            require(isinstance(text, str), f"on attend des textes, pas {type_name(text)}")
        found = [text.strip() for text in found]
        if found == wanted:
            return
        for value, message in self.mistakes:
            require(found != list(value), message)
        require(len(found) == len(wanted), f"le nombre de textes que vous donnez est {len(found)}")
        require(sorted(found) != sorted(wanted), "les bons textes, mais pas dans cet ordre")
        rank = next(i for i in range(len(wanted)) if found[i] != wanted[i])
        raise Mistake(f"« {found[rank]} », au rang {rank + 1}, ne convient pas")


@dataclass(frozen=True)
class Function:
    """Une fonction, essayée sur des cas, et comparée à une référence.

    Un échec montre les arguments et le résultat obtenu, jamais celui qu’il fallait. Une faute est
    reconnue si la fonction du lecteur rend ce que rend l’imitation, jusqu’au premier cas manqué.
    """

    reference: Callable
    cases: Sequence[tuple]
    mistakes: Mistakes = ()
    tolerance: float = 1e-4

    def __call__(self, answer: Any) -> str:
        """Juge la réponse."""
        require(callable(answer), f"on attend une fonction, pas {type_name(answer)}")
        name = getattr(answer, "__name__", "fonction").strip("<>")
        results = []
        for rank, case in enumerate(self.cases):
            results.append(_call(answer, case, name))
            if not self._agree(self.reference, case, results[-1]):
                self._recognize(results, self.cases[: rank + 1])
                raise Mistake(f"{_written(name, case)} rend `{_python(results[-1])}`")
        return f"Votre fonction est juste, {len(self.cases)} cas sur {len(self.cases)}."

    def _recognize(self, results: list, cases: Sequence[tuple]) -> None:
        """Mistake si une imitation rend ces résultats-là sur ces cas-là."""
        for imitation, message in self.mistakes:
            pairs = zip(cases, results, strict=True)
            require(not all(self._agree(imitation, *pair) for pair in pairs), message)

    def _agree(self, function: Callable, case: tuple, result: Any) -> bool:
        return _same(result, _quietly(function, case), self.tolerance)


def _near(found: float, wanted: float, tolerance: float) -> bool:
    return abs(found - wanted) <= tolerance * abs(wanted) + 1e-9


def _differs(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> np.ndarray:
    """Vrai là où deux tableaux de même forme diffèrent."""
    return np.abs(found - wanted) > tolerance * np.maximum(np.abs(wanted), _SMALLEST)


def _alike(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    return found.shape == wanted.shape and not _differs(found, wanted, tolerance).any()


def _first_difference(wrong: np.ndarray) -> str:
    """Dit combien de valeurs sont fausses, et où est la première."""
    count, place = int(wrong.sum()), tuple(int(i) for i in np.argwhere(wrong)[0])
    valeurs, verb = ("valeurs", "sont fausses") if count > 1 else ("valeur", "est fausse")
    where = place[0] if len(place) == 1 else place
    return f"{count} {valeurs} sur {wrong.size} {verb}, la première à l'indice {where}"


def _call(function: Callable, case: tuple, name: str) -> Any:
    """Appelle la fonction du lecteur ; raconte son exception, reconnaît l’absence de `return`."""
    try:
        result = function(*copy.deepcopy(case))
    except Exception as error:
        cause = " ".join(str(error).split())
        problem = f"{_written(name, case)} s'arrête sur {type(error).__name__} (`{cause}`)"
        raise Mistake(problem) from error
    if result is ...:
        raise Blank
    require(result is not None, f"`{name}` ne rend rien : il lui manque un `return`")
    return detach(result)


def _quietly(function: Callable, case: tuple) -> Any:
    """Ce que rend une référence ou une imitation ; rien de comparable si elle échoue."""
    try:
        return function(*copy.deepcopy(case))
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError):
        return _NOTHING


def _same(found: Any, wanted: Any, tolerance: float) -> bool:
    """Compare deux résultats : les textes exactement, les nombres à `tolerance` près."""
    if wanted is _NOTHING or isinstance(found, str) or isinstance(wanted, str):
        return isinstance(found, str) and found == wanted
    try:
        return _alike(as_numbers(found), as_numbers(wanted), tolerance)
    except Mistake:
        return False


def _written(name: str, case: tuple) -> str:
    """Écrit un appel, tel que le lecteur peut le refaire."""
    return f"`{name}({', '.join(_python(argument) for argument in case)})`"


def _python(value: Any) -> str:
    """Écrit une valeur en Python, sur une ligne, en quatre-vingts signes."""
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    text = " ".join(repr(value).replace("`", "'").split())
    return text if len(text) <= 80 else text[:79] + "…"
