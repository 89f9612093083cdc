"""L’affinage en images : la petite correction de LoRA, ce que coûte et rapporte chaque façon."""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.figures.comparisons import MARKS
from course_lib.figures.style import (
    COLORS,
    INK,
    CourseFigure,
    color_of,
    french_ticks,
    light_grid,
    new_figure,
    set_title,
    styled,
)
from course_lib.figures.transformer import arrow, box
from course_lib.typography import format_number, french_spaces

_FROZEN, _TRAINED = "#dde7f0", "#fbe3c4"


@styled
def lora_diagram(
    d_in: int = 128, d_out: int = 128, rank: int = 4, *, title: str = "", alt: str | None = None
) -> CourseFigure:
    """La grande matrice gelée, et à côté les deux petites qui s’entraînent."""
    n_base, n_lora = d_in * d_out, rank * (d_in + d_out)
    alt = alt or (
        f"Un vecteur x suit deux chemins. En haut, une grande matrice gelée W, {d_out} sur {d_in}. "
        f"En bas, une matrice basse A, {rank} sur {d_in}, puis une matrice étroite B, {d_out} sur "
        f"{rank} : elles seules s'entraînent. Les deux résultats s'ajoutent"
    )
    figure, axes = new_figure(4.2, alt)
    axes.set(xlim=(-1, 11), ylim=(-0.4, 6.2))
    axes.set_axis_off()
    box(axes, 0, 2.7, 0.7, 2.2, "x", "#ffffff", fontsize=13)
    box(axes, 4.2, 4.4, 2.6, 2.6, f"W\n{d_out} × {d_in}\ngelée", _FROZEN, fontsize=12)
    box(axes, 3.0, 1.0, 2.6, 0.8, f"A : {rank} × {d_in}", _TRAINED, fontsize=11)
    box(axes, 5.7, 1.0, 0.9, 2.0, f"B\n{d_out}\n×\n{rank}", _TRAINED, fontsize=10.5)
    box(axes, 8.2, 2.7, 0.8, 0.8, "+", "#ffffff", fontsize=15)
    for start, end in (
        ((0.4, 3.2), (2.8, 4.4)),
        ((0.4, 2.2), (1.6, 1.2)),
        ((4.35, 1.0), (5.2, 1.0)),
        ((5.6, 4.4), (7.8, 3.0)),
        ((6.2, 1.2), (7.8, 2.4)),
        ((8.65, 2.7), (9.6, 2.7)),
    ):
        arrow(axes, start, end, color=INK, width=1.6)
    axes.text(9.8, 2.7, "y", fontsize=13, va="center", color=INK)
    counts = (
        (6.0, 5.6, f"{format_number(n_base, 0)} paramètres gelés"),
        (6.6, 0.3, f"{format_number(n_lora, 0)} paramètres entraînés"),
    )
    for x, y, text in counts:
        axes.text(x, y, french_spaces(text), fontsize=11, color=INK)
    set_title(axes, title)
    return figure


@styled
def cost_quality(
    methods: Mapping[str, tuple[float, Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    reference: float | None = None,
    reference_label: str = "",
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Un point par façon : son coût (échelle logarithmique), sa qualité (0 à 1) et son étendue.

    `methods` : nom → (coût, une qualité par graine).
    """
    alt = alt or f"Nuage de points, {y_label} selon {x_label} : {', '.join(methods)}"
    figure, axes = new_figure(4.4, alt)
    for index, (name, (cost, qualities)) in enumerate(methods.items()):
        values, color = 100 * np.asarray(qualities, float), color_of(index)
        mark = MARKS[index % len(MARKS)]
        axes.plot([cost, cost], [values.min(), values.max()], color=color, linewidth=1.8)
        label = french_spaces(name)
        axes.plot(cost, np.median(values), mark, color=color, markersize=8, label=label)
    if reference is not None:
        style = {"color": COLORS["blue"], "linestyle": "--", "linewidth": 1.3}
        axes.axhline(100 * reference, label=french_spaces(reference_label), **style)
    axes.set_xscale("log")
    axes.set(xlabel=french_spaces(x_label), ylabel=french_spaces(f"{y_label} (%)"), ylim=(-4, 104))
    french_ticks(axes.xaxis)
    french_ticks(axes.yaxis)
    light_grid(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=10)
    set_title(axes, title)
    return figure
