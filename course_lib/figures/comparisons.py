"""Figures des comparaisons : des points par ligne, la confiance en regard de la justesse."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from course_lib.figures.maps import as_array
from course_lib.figures.style import (
    MUTED,
    CourseFigure,
    check_lengths,
    color_of,
    french_ticks,
    legend_above,
    light_grid,
    model_color,
    new_figure,
    set_title,
    styled,
)
from course_lib.typography import french_spaces

MARKS = "osD^v"


@styled
def dot_rows(
    rows: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    x_label: str,
    percent: bool = False,
    log: bool = False,
    reference: float | None = None,
    reference_label: str = "",
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Une ligne par cas, un signe par série à la médiane, un trait du minimum au maximum.

    `rows` : cas → série → mesures (une par graine, ou les bornes d’un intervalle). Une série peut
    manquer dans un cas. `percent` : les mesures, entre 0 et 1, s’écrivent en pour cent ; `log` :
    échelle logarithmique.
    """
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    alt = alt or f"Points, {x_label}, pour {', '.join(rows)} : {', '.join(series)}"
    figure, axes = new_figure(1.3 + (0.18 + 0.1 * len(series)) * len(rows), alt)
    for index, name in enumerate(series):
        color, mark = model_color(name, index), MARKS[index % len(MARKS)]
        shift = 0.2 * (index - (len(series) - 1) / 2)
        label = french_spaces(name)
        for rank, row in enumerate(rows.values()):
            if name not in row:
                continue
            values = as_array(row[name]) * (100 if percent else 1)
            axes.plot([values.min(), values.max()], [rank + shift] * 2, color=color, linewidth=1.8)
            axes.plot(np.median(values), rank + shift, mark, color=color, markersize=6, label=label)
            label = None
    if reference is not None:
        place = reference * (100 if percent else 1)
        style = {"color": MUTED, "linestyle": "--", "linewidth": 1.4}
        axes.axvline(place, label=french_spaces(reference_label) or None, **style)
    for rank in range(len(rows) - 1):
        axes.axhline(rank + 0.5, color=MUTED, alpha=0.15, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [french_spaces(name) for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if percent:
        axes.set_xlim(-3, 103)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(french_spaces(f"{x_label} (%)" if percent else x_label))
    axes.tick_params(axis="y", length=0)
    french_ticks(axes.xaxis)
    light_grid(axes, "x")
    legend_above(figure)
    set_title(axes, title)
    return figure


@styled
def calibration_diagram(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[int]]],
    *,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Justesse selon la confiance, par tranches ; la diagonale est la calibration parfaite.

    `curves` : nom → (confiances, justesses, effectifs), parts de 0 à 1. L’aire d’un point suit
    l’effectif de sa tranche. Source : Guo et al. 2017, arXiv:1706.04599, figure 1.
    """
    alt = alt or f"Diagramme de calibration, justesse selon la confiance : {', '.join(curves)}"
    figure, axes = new_figure(3.7, alt)
    style: dict[str, Any] = {"color": MUTED, "linestyle": "--", "linewidth": 1.4}
    axes.plot([0, 100], [0, 100], label=french_spaces("calibration parfaite"), **style)
    for index, (name, (confidence, accuracy, counts)) in enumerate(curves.items()):
        x, y, n = (as_array(values) for values in (confidence, accuracy, counts))
        check_lengths(confidence=x, accuracy=y, counts=n)
        color = color_of(index)
        axes.plot(100 * x, 100 * y, color=color, linewidth=1.8, label=french_spaces(name))
        axes.scatter(100 * x, 100 * y, s=15 + 240 * n / n.sum(), color=color, alpha=0.6, zorder=3)
    axes.set(xlim=(-3, 104), ylim=(-3, 104))
    axes.set_xlabel(french_spaces("confiance (%)"))
    axes.set_ylabel(french_spaces("réponses justes (%)"))
    for axis in (axes.xaxis, axes.yaxis):
        french_ticks(axis)
    light_grid(axes, "both")
    axes.legend(frameon=False, loc="upper left")
    set_title(axes, title)
    return figure
