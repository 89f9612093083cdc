"""Soutenir une affirmation du cours : `claim` accompagne une mesure, et échoue si elle la dément.

Les juges des exercices sont dans `course_lib.exercises`.
"""

from typing import Any

import numpy as np

from course_lib.typography import NO_BREAK, format_number, french_spaces


class FalseClaim(AssertionError):
    """Une affirmation du cours que la mesure dément."""


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


def detach(value: Any) -> Any:
    """Ramène un tenseur torch à un tableau numpy, sans importer torch."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


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
