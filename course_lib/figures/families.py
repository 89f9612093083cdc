"""Figures des familles de modèles : points par graine, contexte, descente de gradient."""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.figures.maps import as_array
from course_lib.figures.style import (
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
    styled,
)
from course_lib.typography import format_number, french_spaces


@styled
def model_dots(
    values: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    digits: int = 1,
    zero: bool = False,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Une ligne par modèle, à sa couleur : un point par graine, et la médiane en chiffres.

    `zero` : l’axe part de zéro, quand zéro est la perfection.
    """
    alt = alt or f"Points, {x_label}, un par graine : {', '.join(values)}"
    figure, axes = new_figure(0.8 + 0.3 * len(values), alt)
    every = np.concatenate([as_array(seeds) for seeds in values.values()])
    low, high = (0.0 if zero else float(every.min())), float(every.max())
    reach = (high - low) or 1.0
    for row, (name, seeds) in enumerate(values.items()):
        seeds, color = as_array(seeds), model_color(name, row)
        axes.axhline(row, color=MUTED, alpha=0.15, linewidth=0.8)
        axes.plot([seeds.min(), seeds.max()], [row, row], color=color, linewidth=2)
        axes.plot(seeds, np.full(len(seeds), row), "o", color=color, markersize=7, alpha=0.75)
        text = format_number(float(np.median(seeds)), digits)
        axes.text(seeds.max() + 0.03 * reach, row, text, va="center", fontweight="bold")
    axes.set_yticks(range(len(values)), [french_spaces(name) for name in values])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlim(low - 0.05 * reach, high + 0.16 * reach)
    axes.set_xlabel(french_spaces(x_label))
    axes.tick_params(axis="y", length=0)
    french_ticks(axes.xaxis)
    light_grid(axes, "x")
    set_title(axes, title)
    return figure


@styled
def context_curve(
    windows: Sequence[int],
    costs: Mapping[str, Sequence[float]],
    *,
    x_label: str = "jetons de contexte",
    y_label: str = "bits par caractère",
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Ce que coûte un texte selon le nombre de jetons que l’on a sous les yeux.

    `costs` : modèle → coût à chaque largeur de `windows`.
    """
    alt = alt or f"Courbe, {y_label} selon {x_label} : {', '.join(costs)}"
    figure, axes = new_figure(2.7, alt)
    for row, (name, values) in enumerate(costs.items()):
        check_lengths(windows=windows, **{name: values})
        color = model_color(name, row)
        axes.plot(windows, values, "o-", color=color, linewidth=2.2, label=french_spaces(name))
        for width, value in zip(windows, values, strict=True):
            text = format_number(value, 2)
            axes.annotate(
                text, (width, value), xytext=(0, 8), textcoords="offset points", ha="center"
            )
    axes.set_xscale("log", base=2)
    ticks = [width for rank, width in enumerate(windows) if rank % 2 == 0 or width < 8]
    axes.set_xticks(ticks, [format_number(width) for width in ticks])
    axes.minorticks_off()
    axes.set(xlabel=french_spaces(x_label), ylabel=french_spaces(y_label))
    axes.margins(y=0.16)
    french_ticks(axes.yaxis)
    light_grid(axes)
    if len(costs) > 1:
        legend_above(figure)
    set_title(axes, title)
    return figure


@styled
def descent_panels(
    losses: Sequence[float],
    shares: Mapping[str, Sequence[float]],
    limits: Mapping[str, float],
    floor: float,
    *,
    shares_title: str,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """La descente de gradient, pas à pas : la perte, puis les probabilités qui en viennent.

    `shares` : mot → sa probabilité à chaque pas ; `limits` : celle que donne le comptage, en
    tirets ; `floor` : la perte que l’on ne peut franchir.
    """
    alt = alt or "La perte descend vers son plancher ; les probabilités vont où le comptage les met"
    figure, (left, right) = new_figure(2.7, alt, columns=2)
    steps = range(len(losses))
    left.plot(steps, losses, color=INK, linewidth=2.2)
    left.axhline(floor, color=MUTED, linestyle="--", linewidth=1.4)
    left.text(steps[-1], floor, "plancher ", ha="right", va="bottom", color=MUTED, fontsize=10.5)
    for rank, (word, values) in enumerate(shares.items()):
        check_lengths(losses=losses, **{word: values})
        color = color_of(rank)
        right.plot(steps, values, color=color, linewidth=2.2)
        right.text(steps[-1], values[-1] + 0.02, word, ha="right", color=color, fontweight="bold")
        if word in limits:
            right.axhline(limits[word], color=color, linestyle="--", linewidth=1.2)
    names = ("perte (nats)", french_spaces(shares_title))
    for axes, name in zip((left, right), names, strict=True):
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("pas")
        axes.set_ylim(0, 1.18 * axes.dataLim.y1)
        french_ticks(axes.xaxis)
        french_ticks(axes.yaxis)
        light_grid(axes)
    if title:
        figure.suptitle(french_spaces(title), x=0.02, ha="left", fontsize=13, fontweight="bold")
    return figure
