"""L’explorateur d’essais : des entraînements mesurés, à choisir axe par axe.

La page ne calcule ni n’invente rien : médianes, étendues et nombres écrits viennent d’ici, et une
combinaison absente des essais y est « pas mesuré ».
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import median
from typing import Any

import traitlets

from course_lib.typography import NO_BREAK, format_number, french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget, html_table, scrolling
from course_lib.widgets.bundle import bundle

MOST_AXES = 4
MOST_DECIMALS = 9
UNMEASURED = "pas mesuré"


@dataclass(frozen=True)
class Measure:
    """Une grandeur mesurée : son nom, son unité (« % »), ses décimales, et le sens du mieux.

    `higher_is_better` : None si aucun sens n’est le bon. ValueError si le nom est vide, ou si
    `decimals` n’est pas un entier de 0 à 9.
    """

    name: str
    unit: str = ""
    decimals: int = 0
    higher_is_better: bool | None = None

    def __post_init__(self) -> None:
        """Refuse ce qui ne pourrait ni se nommer ni s’écrire."""
        if not self.name.strip():
            raise ValueError("Une mesure a un nom vide : le menu ne pourrait pas la nommer.")
        if type(self.decimals) is not int or not 0 <= self.decimals <= MOST_DECIMALS:
            raise ValueError(
                f"Mesure « {self.name} » : decimals = {self.decimals!r} ; il faut un entier de 0 à "
                f"{MOST_DECIMALS}."
            )

    def write(self, value: float) -> str:
        """Écrit une valeur à la française, avec son unité."""
        unit = NO_BREAK + self.unit if self.unit else ""
        return format_number(value, self.decimals) + unit


@dataclass(frozen=True)
class Trial:
    """Un essai : une valeur par axe, dans l’ordre des axes, et ce qui y fut mesuré.

    `values` : nom de la mesure → une valeur par graine. Une mesure peut manquer.
    """

    choices: Sequence[str]
    values: Mapping[str, Sequence[float]]

    def __str__(self) -> str:
        return f"« {', '.join(map(str, self.choices))} »"


class TrialExplorer(CourseWidget):
    """Des essais mesurés : le lecteur choisit une valeur par axe, voit les mesures, et compare.

    `axes` : nom → valeurs possibles, de 1 à 4 axes. Chaque mesure se résume par sa médiane et, s’il
    y a plusieurs graines, par la plus basse et la plus haute. Le premier essai est choisi d’abord.
    ValueError si un axe, une mesure ou les essais manquent ou sont en double, si un essai nomme une
    valeur ou une mesure inconnue, ou si un nombre n’est pas fini ; TypeError si une chaîne tient
    lieu de liste, ou autre chose de nombre.
    """

    module = "trial_explorer.js"
    state_fields = ("axes", "measures", "trials")
    _esm = bundle(FOLDER / "trial_explorer.js")
    axes = traitlets.List().tag(sync=True)
    measures = traitlets.List().tag(sync=True)
    trials = traitlets.List().tag(sync=True)

    def __init__(
        self,
        axes: Mapping[str, Sequence[str]],
        measures: Sequence[Measure],
        trials: Sequence[Trial],
        *,
        title: str = "Explorateur d’essais",
        **kwargs: Any,
    ):
        axes = _checked_axes(axes)
        _check_measures(measures)
        if not trials:
            raise ValueError("Aucun essai : donnez-en au moins un.")
        found: dict[tuple[int, ...], list] = {}
        for trial in trials:
            places = _places(trial, axes)
            if places in found:
                raise ValueError(
                    f"L’essai {trial} est donné deux fois : réunissez ses graines en un seul."
                )
            found[places] = _cells(trial, measures)
        super().__init__(
            axes=[
                {"name": french_spaces(name), "values": list(map(french_spaces, values))}
                for name, values in axes.items()
            ],
            measures=[
                {"name": french_spaces(one.name), "higherIsBetter": one.higher_is_better}
                for one in measures
            ],
            trials=[{"choices": list(p), "cells": cells} for p, cells in found.items()],
            title=french_spaces(title),
            **kwargs,
        )

    def fallback_html(self) -> str:
        """Rend le tableau de tous les essais, médiane par médiane."""
        rows = [
            [
                *(axis["values"][i] for axis, i in zip(self.axes, trial["choices"], strict=True)),
                *(cell["texts"][1] if cell else UNMEASURED for cell in trial["cells"]),
            ]
            for trial in self.trials
        ]
        headers = [one["name"] for one in (*self.axes, *self.measures)]
        table = html_table(headers, rows, "Version figée : tous les essais, médiane des graines")
        return scrolling(table, "Essais")


def _checked_axes(axes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Les axes, si un menu peut présenter chacun."""
    if not 1 <= len(axes) <= MOST_AXES:
        raise ValueError(f"{len(axes)} axes : il en faut de 1 à {MOST_AXES}.")
    for name, values in axes.items():
        if isinstance(values, str) or not all(isinstance(value, str) for value in values):
            raise TypeError(f"Axe « {name} » : {values!r} ; il faut une liste de chaînes.")
        if not values or not all(text.strip() for text in (name, *values)):
            raise ValueError(
                f"Axe « {name} », valeurs {list(values)} : il faut un nom et une valeur au moins, "
                "et aucun texte vide."
            )
        _refuse_doubles(list(values), f"Axe « {name} », valeur")
    return {name: list(values) for name, values in axes.items()}


def _check_measures(measures: Sequence[Measure]) -> None:
    if not measures:
        raise ValueError("Aucune mesure : donnez-en au moins une.")
    _refuse_doubles([measure.name for measure in measures], "Mesure")


def _refuse_doubles(names: Sequence[str], what: str) -> None:
    double = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if double is not None:
        raise ValueError(f"{what} « {double} » donnée deux fois : gardez-en une.")


def _places(trial: Trial, axes: Mapping[str, list[str]]) -> tuple[int, ...]:
    """Le rang de chaque choix sur son axe."""
    if isinstance(trial.choices, str):
        raise TypeError(
            f"choices = « {trial.choices} » : il faut une suite de choix, un par axe, et non une "
            "chaîne."
        )
    if len(trial.choices) != len(axes):
        raise ValueError(
            f"Essai {trial} : {len(trial.choices)} choix pour {len(axes)} axes "
            f"({', '.join(axes)}). Donnez-en un par axe, dans cet ordre."
        )
    for choice, (name, values) in zip(trial.choices, axes.items(), strict=True):
        if choice not in values:
            raise ValueError(
                f"Essai {trial} : {choice!r} n’est pas une valeur de l’axe « {name} ». Choisissez "
                f"parmi {', '.join(values)}."
            )
    pairs = zip(trial.choices, axes.values(), strict=True)
    return tuple(values.index(choice) for choice, values in pairs)


def _cells(trial: Trial, measures: Sequence[Measure]) -> list[dict[str, Any] | None]:
    """Le résumé de chaque mesure, dans leur ordre ; None si l’essai ne l’a pas."""
    names = [measure.name for measure in measures]
    unknown = next((name for name in trial.values if name not in names), None)
    if unknown is not None:
        raise ValueError(
            f"Essai {trial} : « {unknown} » n’est pas une mesure déclarée. Choisissez parmi "
            f"{', '.join(names)}."
        )
    if not trial.values:
        raise ValueError(f"Essai {trial} : aucune mesure. Retirez-le, ou donnez ses nombres.")
    return [
        _summary(trial, measure, trial.values[measure.name])
        if measure.name in trial.values
        else None
        for measure in measures
    ]


def _summary(trial: Trial, measure: Measure, values: Sequence[float]) -> dict[str, Any]:
    """Plus basse, médiane, plus haute : les nombres, leur écriture, et combien de graines."""
    where = f"Essai {trial}, mesure « {measure.name} »"
    if not isinstance(values, Sequence) or not all(isinstance(value, Real) for value in values):
        raise TypeError(f"{where} : {values!r} ; il faut une liste de nombres, un par graine.")
    if not values:
        raise ValueError(f"{where} : aucun nombre. Retirez cette mesure, ou donnez une graine.")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(
            f"{where} : {values!r} ; il faut des nombres finis. Retirez la graine qui a divergé."
        )
    numbers = [float(number) for number in (min(values), median(values), max(values))]
    return {"numbers": numbers, "texts": list(map(measure.write, numbers)), "seeds": len(values)}
