"""Vérifier une réponse d’exercice et soutenir une affirmation du cours.

Les fonctions `check_…` disent juste ou faux, aident d’un indice et ne montrent jamais la réponse
attendue. Tant que la réponse vaut `...` (ou `None`), elles invitent à essayer, sans erreur : le
cahier s’exécute ainsi d’un bout à l’autre. `claim` accompagne une mesure et échoue si elle dément
le texte.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from course_lib.typography import NO_BREAK, format_number, french_spaces


class WrongAnswer(AssertionError):
    """La réponse n’est pas encore la bonne ; le message porte l’indice."""

    def _render_traceback_(self) -> list[str]:
        """Dans un cahier, montre le message seul : la pile d’appels n’aiderait personne."""
        return [str(self)]


class FalseClaim(AssertionError):
    """Une affirmation du cours que la mesure dément."""


def check_close(
    value: Any, expected: Any, hint: str = "", *, name: str = "votre réponse", tolerance=1e-4
) -> None:
    """Vérifie un nombre ou un tableau de nombres, à `tolerance` près (relative et absolue).

    Accepte nombre, liste, tableau numpy ou tenseur torch ; la forme est vérifiée avant les valeurs.
    """
    if _is_blank(value):
        return _invite()
    found, wanted = _as_array(value, name, hint), np.asarray(detach(expected), dtype=float)
    _require_shape(found, wanted.shape, hint, name)
    if not np.all(np.isfinite(found)):
        raise _wrong(f"{name} contient une valeur infinie ou indéfinie (nan)", hint)
    wrong = ~np.isclose(found, wanted, rtol=tolerance, atol=tolerance)
    if wrong.any():
        raise _wrong(_describe_difference(found, wrong, name), hint)
    _praise(name)


def check_equal(value: Any, expected: Any, hint: str = "", *, name: str = "votre réponse") -> None:
    """Vérifie une réponse exacte : texte, entier, liste, ensemble…"""
    if _is_blank(value):
        return _invite()
    found, wanted = detach(value), detach(expected)
    if isinstance(wanted, str) and not isinstance(found, str):
        raise _wrong(f"{name} devrait être un texte, pas {_type_name(found)}", hint)
    if not np.array_equal(found, wanted) if _has_array(found, wanted) else found != wanted:
        raise _wrong(f"{name} vaut {show_value(found)} ; ce n’est pas encore cela", hint)
    _praise(name)


def check_true(condition: Any, hint: str = "", *, name: str = "votre réponse") -> None:
    """Vérifie une propriété de la réponse (par exemple : « chaque ligne somme à 1 »)."""
    if _is_blank(condition):
        return _invite()
    if not bool(condition):
        raise _wrong(f"{name} n’a pas encore la propriété demandée", hint)
    _praise(name)


def check_function(
    function: Callable, cases: Iterable[tuple[tuple, Any]], hint: str = "", *, tolerance=1e-4
) -> None:
    """Essaie une fonction sur des cas `((arguments…), résultat attendu)`.

    Un échec montre les arguments et ce que la fonction a rendu, jamais ce qu’il fallait rendre.
    """
    cases = list(cases)
    if not cases:
        raise ValueError("check_function demande au moins un cas ; `cases` est vide.")
    if _is_blank(function):
        return _invite()
    name = f"`{getattr(function, '__name__', 'fonction')}`"
    for arguments, expected in cases:
        result = _call(function, arguments, name, hint)
        if _is_blank(result) and expected is not None:
            return _invite()
        if not _same(result, expected, tolerance):
            shown = ", ".join(show_value(a) for a in arguments)
            raise _wrong(f"{name} appelée avec ({shown}) rend {show_value(result)}", hint)
    _praise(name, f"{len(cases)} cas sur {len(cases)}" if len(cases) > 1 else "")


def claim(condition: Any, message: str, **measured: Any) -> None:
    """Soutient une phrase du cours : « ✓ … » si la mesure la confirme, `FalseClaim` sinon.

    Les valeurs mesurées n’apparaissent qu’en cas d’échec : la sortie reste la même d’une machine à
    l’autre. Exemple : `claim(delta > 0, "Δ est positif", delta=delta)`.
    """
    message = french_spaces(message)
    if not bool(condition):
        values = ", ".join(
            f"{key} = {show_value(detach(value))}" for key, value in measured.items()
        )
        raise FalseClaim(
            f"Affirmation démentie par la mesure{NO_BREAK}: {message}"
            + (f" (mesuré{NO_BREAK}: {values})" if values else "")
        )
    print(f"✓ {message}")


def _is_blank(value: Any) -> bool:
    """Dit si le lecteur n’a pas encore répondu : `...` ou `None`."""
    return value is None or value is Ellipsis


def _invite() -> None:
    print(
        "À vous : remplacez les points de suspension par votre réponse, puis relancez la cellule."
    )


def _praise(name: str, detail: str = "") -> None:
    subject = "" if name == "votre réponse" else f" pour {name}"
    print(f"✓ Bravo, c’est juste{subject}{f' ({detail})' if detail else ''}.")


def _wrong(problem: str, hint: str) -> WrongAnswer:
    """Compose le message d’une réponse fausse : ce qu’on a vu, puis l’indice."""
    text = french_spaces(f"Pas encore : {problem}.")
    if hint:
        text += "\n" + french_spaces(f"Indice : {hint}")
    return WrongAnswer(text)


def detach(value: Any) -> Any:
    """Ramène un tenseur torch à un tableau numpy, sans importer torch."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _as_array(value: Any, name: str, hint: str) -> np.ndarray:
    try:
        if isinstance(value, str):
            raise TypeError("un texte n’est pas un nombre")
        return np.asarray(detach(value), dtype=float)
    except (TypeError, ValueError):
        raise _wrong(f"{name} devrait être numérique, pas {_type_name(value)}", hint) from None


def _require_shape(found: np.ndarray, shape: tuple, hint: str, name: str) -> None:
    """Refuse une forme différente, sans dire celle qu’il fallait."""
    if found.shape != shape:
        raise _wrong(f"la forme de {name} est {found.shape}", hint)


def _describe_difference(found: np.ndarray, wrong: np.ndarray, name: str) -> str:
    if found.ndim == 0:
        return f"{name} vaut {show_value(float(found))} ; ce n'est pas la bonne valeur"
    count, total = int(wrong.sum()), wrong.size
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    position = first[0] if len(first) == 1 else first
    verb = "est fausse" if count == 1 else "sont fausses"
    return (
        f"{count} valeur{'s' if count > 1 else ''} sur {total} {verb} dans {name}, "
        f"la première à l'indice {position}"
    )


def _call(function: Callable, arguments: tuple, name: str, hint: str) -> Any:
    """Appelle la fonction du lecteur et traduit une exception en réponse fausse."""
    try:
        return detach(function(*arguments))
    except Exception as error:
        shown = ", ".join(show_value(a) for a in arguments)
        problem = f"{name} appelée avec ({shown}) s'arrête sur {type(error).__name__} ({error})"
        raise _wrong(problem, hint) from error


def _has_array(*values: Any) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


def _same(result: Any, expected: Any, tolerance: float) -> bool:
    """Compare à `tolerance` près ce qui est numérique, exactement le reste."""
    expected = detach(expected)
    if isinstance(expected, str) or isinstance(result, str):
        return bool(isinstance(result, str) and result == expected)
    try:
        found, wanted = np.asarray(result, dtype=float), np.asarray(expected, dtype=float)
    except (TypeError, ValueError):
        return bool(result == expected)
    if found.shape != wanted.shape:
        return False
    return np.allclose(found, wanted, rtol=tolerance, atol=tolerance)


def show_value(value: Any) -> str:
    """Écrit une valeur reçue, brièvement et à la française pour les nombres."""
    value = detach(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_):
        return "vrai" if value else "faux"
    if isinstance(value, int | float | np.number):
        return format_number(float(value), None if float(value).is_integer() else 4)
    if isinstance(value, np.ndarray) and value.size > 6:
        return f"un tableau de forme {value.shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "…"


def _type_name(value: Any) -> str:
    names = {str: "un texte", list: "une liste", dict: "un dictionnaire", int: "un entier"}
    return names.get(type(value), f"un objet de type {type(value).__name__}")
