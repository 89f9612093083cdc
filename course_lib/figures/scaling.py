"""Figures de la taille : parts d’un modèle, lois d’échelle, cartes logarithmiques."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from course_lib.figures.maps import as_array
from course_lib.figures.style import (
    INK,
    MODEL_COLORS,
    MUTED,
    CourseFigure,
    check_lengths,
    color_of,
    french_ticks,
    legend_above,
    light_grid,
    new_figure,
    set_title,
    styled,
)
from course_lib.typography import french_spaces, power_of_ten

NARROW = 0.4  # décades
Bands = Mapping[str, tuple[Any, Any, Any, Any]]  # nom → (x, estimation, bas, haut)


@styled
def share_bars(
    parts: Mapping[str, Mapping[str, float]], *, title: str = "", alt: str | None = None
) -> CourseFigure:
    """Une barre par modèle, coupée selon ses parties ; chaque barre fait cent pour cent.

    `parts` : modèle → partie → quantité. Les parties vides partout n’ont pas de légende.
    """
    names = [n for n in next(iter(parts.values())) if any(model[n] > 0 for model in parts.values())]
    alt = alt or f"Barres empilées : part de {', '.join(names)} dans {', '.join(parts)}"
    figure, axes = new_figure(1.4 + 0.46 * len(parts), alt)
    for row, model in enumerate(parts.values()):
        total, left = sum(model.values()), 0.0
        for index, name in enumerate(names):
            share = 100 * model[name] / total
            label = name if row == 0 else None
            axes.barh(row, share, left=left, height=0.66, color=color_of(index), label=label)
            if share >= 9:
                x = left + share / 2
                text = f"{share:.0f}\u00a0%"
                axes.text(x, row, text, ha="center", va="center", color="white", fontsize=10.5)
            left += share
    axes.set_yticks(range(len(parts)), list(parts))
    axes.set(xlim=(0, 100), ylim=(len(parts) - 0.5, -0.5))
    axes.set_xlabel(french_spaces("part des paramètres (%)"))
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=3, fontsize=10.5)
    set_title(axes, title)
    return figure


@styled
def size_curve(
    series: Mapping[str, tuple[Sequence[float], Any]],
    *,
    laws: Bands | None = None,
    hollow: Sequence[str] = (),
    ceiling: tuple[str, float] | None = None,
    x_label: str = "paramètres",
    y_label: str = "divergence (nats par histoire)",
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Une mesure selon la taille, en échelles logarithmiques : un point par graine.

    `series` : nom → (tailles, tableau (tailles, graines)). `laws` : des lois et leur bande
    d’incertitude ; celle qui porte le nom d’une série en prend la couleur. Sans elles, un trait
    joint les médianes. `hollow` : les séries en creux, que les lois n’ont pas vues. `ceiling` :
    (nom, hauteur) d’un trait horizontal.
    """
    alt = alt or f"Nuage de points : {y_label} selon le nombre de paramètres, {', '.join(series)}"
    figure, axes = new_figure(4.2, alt)
    for index, (name, (sizes, values)) in enumerate(series.items()):
        alone = laws and not any(law in series for law in laws)
        values, color = as_array(values), color_of(0 if alone else index)
        check_lengths(sizes=sizes, values=values)
        face = "white" if name in hollow else color
        dots = np.repeat(np.asarray(sizes)[:, None], values.shape[1], axis=1)
        style = {"markersize": 6, "markerfacecolor": face, "markeredgecolor": color, "zorder": 3}
        axes.plot(dots.ravel(), values.ravel(), "o", label=french_spaces(name), **style)
        if not laws:
            axes.plot(sizes, np.median(values, 1), color=color, linewidth=1.6)
    for index, (name, band) in enumerate((laws or {}).items(), start=1):
        x, center, low, high = (as_array(column) for column in band)
        color = color_of([*series].index(name) if name in series else index)
        label = None if name in series else french_spaces(name)
        axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
        axes.plot(x, center, color=color, linewidth=2, label=label)
    if ceiling:
        name, height = ceiling
        axes.axhline(height, color=MUTED, linestyle="--", linewidth=1.6)
        style = {"fontsize": 10.5, "color": MUTED, "va": "top"}
        axes.text(0.02, height, french_spaces(name), transform=axes.get_yaxis_transform(), **style)
    _log_axes(axes, x_label, y_label)
    legend_above(figure)
    set_title(axes, title)
    return figure


@styled
def log_map(
    points: Mapping[str, tuple[float, float]],
    line: tuple[Any, Any] | None = None,
    *,
    line_label: str = "",
    x_label: str,
    y_label: str,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Des modèles, chacun de sa couleur, sur une carte logarithmique, et une ligne de référence."""
    alt = alt or f"Carte, {y_label} selon {x_label} : {', '.join(points)}"
    figure, axes = new_figure(4.6, alt)
    if line is not None:
        axes.plot(*line, color=MUTED, linestyle="--", linewidth=1.6, label=line_label)
        axes.legend(frameon=False, loc="lower right")
    lowest, highest = (choose(x for x, _ in points.values()) for choose in (min, max))
    for name, (x, y) in points.items():
        color = MODEL_COLORS.get(name.split("-")[0], MODEL_COLORS["Transformer"])
        axes.plot(x, y, "o", color=color, markersize=7, zorder=3)
        style = {"fontsize": 10, "color": INK, "va": "center", "zorder": 4}
        place = (math.log(x) - math.log(lowest)) / math.log(highest / lowest)
        side = "left" if place < 0.15 else "right" if place > 0.85 else "center"
        axes.annotate(name, (x, y), (0, 11), textcoords="offset points", ha=side, **style)
    _log_axes(axes, x_label, y_label)
    set_title(axes, title)
    return figure


@styled
def log_curves(
    curves: Mapping[str, tuple[Any, Any]],
    *,
    mark_minimum: bool = False,
    x_label: str,
    y_label: str,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Des courbes (x, y) en échelles logarithmiques ; `mark_minimum` marque le creux de chacune."""
    alt = alt or f"Courbes, {y_label} selon {x_label} : {', '.join(curves)}"
    figure, axes = new_figure(4.2, alt)
    for index, (name, (x, y)) in enumerate(curves.items()):
        x, y, color = as_array(x), as_array(y), color_of(index)
        axes.plot(x, y, color=color, linewidth=2.2, label=french_spaces(name))
        if mark_minimum:
            lowest = int(np.argmin(y))
            axes.plot(x[lowest], y[lowest], "o", color=color, markersize=9, zorder=3)
    _log_axes(axes, x_label, y_label)
    legend_above(figure)
    set_title(axes, title)
    return figure


def _log_axes(axes: Any, x_label: str, y_label: str) -> None:
    """Deux échelles logarithmiques, graduées de nombres que l’on sait lire."""
    axes.set(xscale="log", yscale="log", xlabel=french_spaces(x_label))
    axes.set_ylabel(french_spaces(y_label))
    for axis, limits, room in (
        (axes.xaxis, axes.get_xlim(), 1.5),
        (axes.yaxis, axes.get_ylim(), 3),
    ):
        decades = math.log10(limits[1] / limits[0])
        axis.set_minor_locator(NullLocator())
        if decades < NARROW:  # 1, 2 et 5 n’y donneraient qu’une graduation
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            french_ticks(axis)
            continue
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > room else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    light_grid(axes, "both")
