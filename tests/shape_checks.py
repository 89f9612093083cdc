"""Vérifier les formes des tenseurs sans tout ralentir : les premiers appels de chaque essai.

Vérifier chaque appel multiplie par cinq la durée d’un petit modèle. Les formes se répètent : les
premières passes de chaque essai suffisent à voir celles qui ne conviennent pas.
"""

import functools
from collections.abc import Callable

import jaxtyping
from beartype import beartype

N_CHECKED = 400  # appels vérifiés par essai : une dizaine de passes d’un petit modèle
_calls = {"left": N_CHECKED}


def restart() -> None:
    """Un nouvel essai commence : on vérifie de nouveau."""
    _calls["left"] = N_CHECKED
    jaxtyping.config.update("jaxtyping_disable", False)


def checked(function: Callable) -> Callable:
    """`beartype`, qui s’efface une fois `N_CHECKED` appels vérifiés."""
    strict = beartype(function)

    @functools.wraps(function)
    def counted(*arguments, **options):
        _calls["left"] -= 1
        if _calls["left"] == 0:
            jaxtyping.config.update("jaxtyping_disable", True)
        return strict(*arguments, **options)

    return counted
