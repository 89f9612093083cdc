"""Les juges : un nombre, des nombres, un entier, une suite de textes, une fonction.

Chacun connaît la bonne réponse et les fautes courantes, avec ce qu’il faut en dire. Une faute est
une réponse `(valeur, message)` ; pour une fonction, une imitation `(fonction fausse, message)`.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from course_lib.checks import detach, show_value
from course_lib.exercises.answers import as_integer, as_list, as_number, as_numbers, type_name
from course_lib.exercises.exercise import Blank, Mistake, require

Judge = Callable[[Any], str | None]
Mistakes = Iterable[tuple[Any, str]]
ROUNDING = 0.01  # deux chiffres justes suffisent à qui compte à la main


def number(expected: float, mistakes: Mistakes = (), *, tolerance: float = ROUNDING) -> Judge:
    """Juge un réel, à `tolerance` près (relative)."""
    expected = float(expected)

    def judge(answer: Any) -> None:
        found = as_number(answer)
        if _near(found, expected, tolerance):
            return
        for value, message in mistakes:
            require(not _near(found, float(value), tolerance / 2), message)
        if 0 < expected < 1 and _near(found, 100 * expected, tolerance):
            raise Mistake("c'est un pourcentage ; on attend un nombre entre 0 et 1")
        raise Mistake(f"{show_value(found)} n'est pas la bonne valeur")

    return judge


def integer(expected: int, mistakes: Mistakes = ()) -> Judge:
    """Juge un entier, exactement."""

    def judge(answer: Any) -> None:
        found = as_integer(answer)
        if found == expected:
            return
        for value, message in mistakes:
            require(found != value, message)
        raise Mistake(f"{show_value(found)} n'est pas la bonne valeur")

    return judge


def numbers(expected: Any, mistakes: Mistakes = (), *, tolerance: float = ROUNDING) -> Judge:
    """Juge un tableau de réels : sa forme, puis ses valeurs, à `tolerance` près."""
    wanted = np.asarray(detach(expected), dtype=float)

    def judge(answer: Any) -> None:
        found = as_numbers(answer)
        if _alike(found, wanted, tolerance):
            return
        for value, message in mistakes:
            imitation = np.asarray(detach(value), dtype=float)
            require(not _alike(found, imitation, tolerance / 2), message)
        require(found.shape == wanted.shape, f"la forme de votre réponse est {found.shape}")
        if _alike(np.sort(found, axis=None), np.sort(wanted, axis=None), tolerance):
            raise Mistake("les valeurs sont les bonnes, mais pas à leur place")
        raise Mistake(_first_difference(found, wanted, tolerance))

    return judge


def texts(expected: Sequence[str], mistakes: Mistakes = ()) -> Judge:
    """Juge une suite de textes, dans l’ordre, espaces du bord mises à part."""
    expected = list(expected)

    def judge(answer: Any) -> None:
        found = as_list(answer)
        for text in found:
            require(isinstance(text, str), f"on attend des textes, pas {type_name(text)}")
        found = [text.strip() for text in found]
        if found == expected:
            return
        for value, message in mistakes:
            require(found != list(value), message)
        require(len(found) == len(expected), f"votre liste a {len(found)} éléments")
        require(sorted(found) != sorted(expected), "les bons textes, mais pas dans cet ordre")
        rank = next(
            i for i, pair in enumerate(zip(found, expected, strict=True)) if len({*pair}) > 1
        )
        raise Mistake(f"« {found[rank]} », au rang {rank + 1}, ne convient pas")

    return judge


def function(
    reference: Callable, cases: Sequence[tuple], mistakes: Mistakes = (), *, tolerance: float = 1e-4
) -> Judge:
    """Essaie une fonction sur des cas, et compare ce qu’elle rend à ce que rend la référence.

    Un échec montre les arguments et le résultat obtenu, jamais celui qu’il fallait. Une faute est
    reconnue si la fonction du lecteur rend ce que rend l’imitation, jusqu’au premier cas manqué.
    """

    def judge(answer: Any) -> str:
        require(callable(answer), f"on attend une fonction, pas {type_name(answer)}")
        name = getattr(answer, "__name__", "fonction").strip("<>")
        results = []
        for rank, case in enumerate(cases):
            results.append(_call(answer, case, name))
            if _same(results[-1], reference(*copy.deepcopy(case)), tolerance):
                continue
            for imitation, message in mistakes:
                tried = zip(results, cases[: rank + 1], strict=True)
                alike = all(_same(r, _quietly(imitation, c), tolerance) for r, c in tried)
                require(not alike, message)
            raise Mistake(f"{_written(name, case)} rend `{_python(results[-1])}`")
        return f"Votre fonction est juste, {len(cases)} cas sur {len(cases)}."

    return judge


def _near(found: float, wanted: float, tolerance: float) -> bool:
    return abs(found - wanted) <= tolerance * max(abs(wanted), 1e-6)


def _alike(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Dit si deux tableaux ont la même forme et les mêmes valeurs."""
    if found.shape != wanted.shape:
        return False
    return bool((np.abs(found - wanted) <= tolerance * np.maximum(np.abs(wanted), 1e-2)).all())


def _first_difference(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> str:
    """Dit combien de valeurs sont fausses, et où est la première."""
    wrong = np.abs(found - wanted) > tolerance * np.maximum(np.abs(wanted), 1e-2)
    if found.ndim == 0:
        return f"{show_value(float(found))} n'est pas la bonne valeur"
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    count, verb = int(wrong.sum()), "sont fausses" if wrong.sum() > 1 else "est fausse"
    where = place[0] if len(place) == 1 else place
    plural = "s" if count > 1 else ""
    return f"{count} valeur{plural} sur {wrong.size} {verb}, la première à l'indice {where}"


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


def _written(name: str, case: tuple) -> str:
    """Écrit un appel, tel que le lecteur peut le refaire."""
    return f"`{name}({', '.join(_python(argument) for argument in case)})`"


def _python(value: Any) -> str:
    """Écrit une valeur en Python, sur une ligne, en quatre-vingts signes."""
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    text = " ".join(repr(value).replace("`", "'").split())
    return text if len(text) <= 80 else text[:79] + "…"


def _quietly(imitation: Callable, case: tuple) -> Any:
    """Ce que rend une imitation ; rien de comparable si elle échoue."""
    try:
        return imitation(*copy.deepcopy(case))
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError):
        return _NOTHING


_NOTHING = object()


def _same(found: Any, wanted: Any, tolerance: float) -> bool:
    """Compare deux résultats : les textes exactement, les nombres à `tolerance` près."""
    if wanted is _NOTHING or isinstance(found, str) or isinstance(wanted, str):
        return isinstance(found, str) and found == wanted
    try:
        return _alike(as_numbers(found), as_numbers(wanted), tolerance)
    except Mistake:
        return False
