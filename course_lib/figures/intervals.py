"""Figure d’intervalles : plusieurs mesures, graine par graine, chacune avec son incertitude."""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.figures.style import (
    INK,
    CourseFigure,
    french_ticks,
    light_grid,
    model_color,
    new_figure,
    set_title,
    styled,
)
from course_lib.typography import french_spaces

Interval = tuple[float, float, float]  # (estimation, bas, haut)


@styled
def interval_points(
    groups: Mapping[str, Mapping[str, Sequence[Interval]]],
    *,
    marks: Mapping[str, float] | None = None,
    mark_label: str = "",
    x_label: str,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Un rang par groupe, une couleur par série, un point et son intervalle par graine.

    `groups` : groupe → série → suite de (estimation, bas, haut). `marks` : groupe → un repère,
    tracé d’un trait vertical et nommé `mark_label`. Erreur : ValueError si un repère désigne un
    groupe absent.
    """
    unknown = set(marks or {}) - set(groups)
    if unknown:
        raise ValueError(
            f"Repères reçus pour {', '.join(sorted(unknown))}, absents des groupes : "
            f"{', '.join(groups)}."
        )
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    alt = alt or f"Points et intervalles, {x_label}, {', '.join(series)} : {', '.join(groups)}"
    figure, axes = new_figure(1.5 + 0.62 * len(groups), alt)
    handles = {}
    for row, (name, group) in enumerate(groups.items()):
        for each, points in group.items():
            rank = series.index(each)
            handles[each] = _draw(
                axes, row + _offset(rank, len(series)), points, model_color(each, rank)
            )
        if name in (marks or {}):
            (handles[mark_label],) = axes.plot(
                [marks[name]] * 2,
                [row - 0.42, row + 0.42],
                color=INK,
                linestyle="--",
                linewidth=1.6,
            )
    axes.set_yticks(range(len(groups)), [french_spaces(name) for name in groups])
    axes.set_ylim(len(groups) - 0.45, -0.55)
    axes.set_xlabel(french_spaces(x_label))
    axes.tick_params(axis="y", length=0)
    french_ticks(axes.xaxis)
    light_grid(axes, "x")
    labels = [french_spaces(name) for name in handles]
    figure.legend(
        list(handles.values()), labels, loc="outside upper center", ncols=3, frameon=False
    )
    set_title(axes, title)
    return figure


def _offset(rank: int, n: int) -> float:
    """Le décalage d’une série dans son rang, de −0,22 à 0,22."""
    return 0.0 if n == 1 else 0.44 * rank / (n - 1) - 0.22


def _draw(axes, y: float, points: Sequence[Interval], color: str):
    """Les points d’une série, un peu décalés l’un de l’autre, et leurs intervalles."""
    rows = y + 0.055 * (np.arange(len(points)) - (len(points) - 1) / 2)
    for height, (_, low, high) in zip(rows, points, strict=True):
        axes.plot([low, high], [height, height], color=color, linewidth=1.6, alpha=0.7)
    (handle,) = axes.plot([p[0] for p in points], rows, "o", color=color, markersize=5, zorder=3)
    return handle
