"""Courbes et barres : entraînement, interventions, graines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from course_lib.figures.maps import as_array
from course_lib.figures.style import (
    COLORS,
    INK,
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
    spaced_ticks,
    styled,
)
from course_lib.typography import format_number, french_spaces


@styled
def training_curves(
    steps: Sequence[float],
    runs: Mapping[str, Any],
    *,
    x_label: str = "pas d’entraînement",
    y_label: str = "perte (nats par jeton)",
    reference: float | None = None,
    reference_label: str = "entropie exacte",
    log_x: bool = False,
    log_y: bool = False,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Courbes de plusieurs graines : la médiane en trait, du minimum au maximum en bande.

    `runs` : nom → tableau `(graines, pas)`, ou `(pas,)` pour une seule graine. Un modèle du cours
    a sa couleur ; son second trait est en tirets. `log_x` : abscisses en échelle logarithmique,
    graduée aux valeurs de `steps` assez distantes.
    """
    alt = alt or f"Courbes, {y_label} : {', '.join(runs)}, médiane et étendue des graines"
    figure, axes = new_figure(3.0, alt)
    used: set[str] = set()
    for index, (name, values) in enumerate(runs.items()):
        values = np.atleast_2d(as_array(values))
        check_lengths(steps=steps, **{name: values[0]})
        color = model_color(name, index)
        style = {"color": color, "linewidth": 2.2, "linestyle": "--" if color in used else "-"}
        used.add(color)
        axes.plot(steps, np.median(values, 0), label=name, **style)
        if len(values) > 1:
            axes.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.18, lw=0)
    if reference is not None:
        axes.axhline(reference, color=INK, linestyle="--", linewidth=1.4, label=reference_label)
    if log_y:
        axes.set_yscale("log")
    if log_x:
        axes.set_xscale("log")
        axes.set_xticks(spaced_ticks(steps), minor=False)
        axes.minorticks_off()
    axes.set(xlabel=x_label, ylabel=y_label)
    french_ticks(axes.xaxis)
    french_ticks(axes.yaxis)
    light_grid(axes)
    legend_above(figure)
    set_title(axes, title)
    return figure


@styled
def intervention_bars(
    rates: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    *,
    chance: float | None = None,
    x_label: str = "erreurs de pronom",
    color: str = COLORS["blue"],
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Barres de masquage ou de greffe (parts de 0 à 1), avec leurs intervalles `(bas, haut)`."""
    names = list(rates)
    alt = alt or f"Barres, {x_label} selon l'intervention : {', '.join(names)}"
    figure, axes = new_figure(1.25 + 0.55 * len(names), alt)
    for row, name in enumerate(names):
        axes.barh(row, rates[name], color=color, alpha=0.75, height=0.58)
        low, high = (intervals or {}).get(name, (rates[name], rates[name]))
        if low < high:
            axes.plot([low, high], [row, row], color=INK, linewidth=2, marker="|", markersize=10)
        text = format_number(100 * rates[name], 0) + "\u00a0%"
        axes.text(max(high, rates[name]) + 0.02, row, text, va="center", fontweight="bold")
    if chance is not None:
        axes.axvline(chance, color=MUTED, linestyle="--", linewidth=1.4)
        axes.text(chance + 0.01, -0.62, "hasard", fontsize=11, color=MUTED, va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.95 if chance is not None else -0.5)
    axes.set_xlim(0, 1.14)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axes.set_xlabel(french_spaces(f"{x_label} (%)"))
    axes.tick_params(axis="y", length=0)
    light_grid(axes, "x")
    set_title(axes, title)
    return figure


@styled
def seed_strips(
    values: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    zero: bool = True,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Une bande par nom : un point par exemple, décalé pour rester visible, et un trait médian.

    `zero` trace la verticale du zéro : d’un coup d’œil, de quel côté sont les points.
    """
    names = list(values)
    alt = alt or f"Nuages de points, {x_label}, une bande pour chacun : {', '.join(names)}"
    figure, axes = new_figure(1.1 + 0.46 * len(names), alt)
    for row, name in enumerate(names):
        points = as_array(values[name])
        # Un décalage régulier plutôt qu’un tirage : la même figure à chaque fois.
        offsets = 0.56 * (0.618 * np.arange(len(points)) % 1 - 0.5)
        color = color_of(row)
        axes.plot(points, row + offsets, ".", color=color, alpha=0.5, markersize=4)
        axes.plot([np.median(points)] * 2, [row - 0.36, row + 0.36], color=INK, linewidth=2.2)
    if zero:
        axes.axvline(0, color=MUTED, linestyle="--", linewidth=1.4)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(french_spaces(x_label))
    axes.tick_params(axis="y", length=0)
    french_ticks(axes.xaxis)
    light_grid(axes, "x")
    set_title(axes, title)
    return figure
