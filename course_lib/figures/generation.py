"""Figures de la génération : jetons suivants, qualité et diversité, ce que coûte un réglage."""

import math
from collections.abc import Mapping, Sequence

from course_lib.figures.style import (
    COLORS,
    INK,
    MUTED,
    CourseFigure,
    color_of,
    french_ticks,
    light_grid,
    new_figure,
    set_title,
    styled,
)
from course_lib.typography import format_percent, french_spaces


@styled
def probability_panels(
    panels: Mapping[str, Sequence[tuple[str, float]]],
    *,
    columns: int = 1,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Les jetons suivants et leur probabilité, un cadre par début ou par réglage.

    `panels` : titre du cadre → couples (jeton, probabilité), du plus au moins probable.
    """
    alt = alt or "Barres de probabilité du jeton suivant : " + " ; ".join(panels)
    rows, longest = math.ceil(len(panels) / columns), max(map(len, panels.values()))
    figure, axes = new_figure(
        rows * (0.55 + 0.26 * longest) + 0.15, alt, rows=rows, columns=columns, squeeze=False
    )
    for index, (frame, (name, pairs)) in enumerate(zip(axes.flat, panels.items(), strict=False)):
        values = [probability for _, probability in pairs]
        frame.barh(range(len(pairs)), values, color=color_of(index), alpha=0.5, height=0.72)
        for rank, value in enumerate(values):
            text = format_percent(value, 0) if value >= 0.005 or value == 0 else "< 1 %"
            frame.text(value + 0.015, rank, french_spaces(text), va="center", fontsize=10)
        labels = [token.replace(" ", "␣").replace("\n", "⏎") for token, _ in pairs]
        frame.set_yticks(range(len(pairs)), labels, fontsize=10.5)
        frame.set(ylim=(longest - 0.4, -0.6), xlim=(0, 1.18), xticks=[])
        frame.tick_params(axis="y", length=0)
        frame.spines["bottom"].set_visible(False)
        frame.set_title(french_spaces(name), loc="left", fontsize=10.5, fontweight="bold")
    for frame in axes.flat[len(panels) :]:
        frame.set_axis_off()
    if title:
        figure.suptitle(french_spaces(title), x=0.02, ha="left", fontsize=13, fontweight="bold")
    return figure


@styled
def quality_diversity(
    points: Mapping[str, tuple[float, float, float, float]],
    reference: tuple[float, float] | None = None,
    *,
    reference_label: str = "la grammaire",
    labels: Mapping[str, tuple[float, float]] | None = None,
    x_label: str = "quadrigrammes distincts (%)",
    y_label: str = "histoires cohérentes (%)",
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Chaque stratégie selon sa diversité et sa qualité, parts de 0 à 1.

    `points` : nom → (diversité, qualité, bas, haut). `reference` : le texte qui sert de modèle.
    `labels` : décalage en points du nom d’un point, s’il en recouvre un autre.
    """
    alt = alt or f"Nuage de points : {y_label} selon {x_label}, {', '.join(points)}"
    figure, axes = new_figure(3.2, alt)
    color = COLORS["blue"]
    for name, (x, y, low, high) in points.items():
        axes.plot([100 * x] * 2, [100 * low, 100 * high], color=color, linewidth=1.6)
        axes.plot(100 * x, 100 * y, "o", color=color, markersize=7, zorder=3)
        shift = (labels or {}).get(name, (8, 0))
        side = "left" if shift[0] >= 0 else "right"
        style = {"fontsize": 10, "color": INK, "ha": side, "va": "center", "zorder": 4}
        place = (100 * x, 100 * y)
        axes.annotate(french_spaces(name), place, xytext=shift, textcoords="offset points", **style)
    if reference is not None:
        x, y = 100 * reference[0], 100 * reference[1]
        axes.plot(x, y, "*", color=COLORS["orange"], markersize=16, zorder=5)
        style = {"fontsize": 10.5, "fontweight": "bold", "color": MUTED, "ha": "right"}
        axes.annotate(reference_label, (x, y), xytext=(-9, 7), textcoords="offset points", **style)
    axes.set(xlabel=french_spaces(x_label), ylabel=french_spaces(y_label))
    for axis in (axes.xaxis, axes.yaxis):
        french_ticks(axis)
    axes.margins(x=0.16, y=0.09)
    light_grid(axes, "both")
    set_title(axes, title)
    return figure


@styled
def paired_bars(
    rows: Mapping[str, tuple[float, float]],
    titles: tuple[str, str],
    *,
    reference: str = "",
    color: str = COLORS["blue"],
    alt: str | None = None,
) -> CourseFigure:
    """Deux parts (de 0 à 1) par ligne, en deux cadres voisins, chacun à son échelle.

    `titles` : ce que chaque cadre compte. `reference` : la ligne qui sert de modèle ; elle a sa
    couleur, et un trait la rappelle sur toute la hauteur.
    """
    names = list(rows)
    alt = alt or f"Barres, {titles[0]} et {titles[1]} : {', '.join(names)}"
    figure, axes = new_figure(0.7 + 0.3 * len(names), alt, columns=2, sharey=True)
    for side, (frame, title) in enumerate(zip(axes, titles, strict=True)):
        values = [rows[name][side] for name in names]
        colors = [COLORS["orange"] if name == reference else color for name in names]
        frame.barh(range(len(names)), values, color=colors, alpha=0.75, height=0.66)
        for rank, value in enumerate(values):
            text = french_spaces(format_percent(value, 0 if value >= 0.1 else 1))
            frame.text(value + 0.02 * max(values), rank, text, va="center", fontsize=10)
        if reference:
            frame.axvline(rows[reference][side], color=COLORS["orange"], linestyle="--", lw=1.2)
        frame.set(xlim=(0, 1.25 * max(values)), xticks=[], ylim=(len(names) - 0.4, -0.6))
        frame.tick_params(axis="y", length=0)
        frame.spines["bottom"].set_visible(False)
        frame.set_title(french_spaces(title), loc="left", fontsize=10.5, fontweight="bold")
    axes[0].set_yticks(range(len(names)), [french_spaces(name) for name in names], fontsize=10.5)
    return figure
