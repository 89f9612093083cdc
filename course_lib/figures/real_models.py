"""Figures du pré-entraînement et des modèles réels : compétences, mémoire, écosystème."""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.figures.maps import paint
from course_lib.figures.style import (
    COLORS,
    INK,
    MUTED,
    SEQUENTIAL,
    CourseFigure,
    check_lengths,
    color_of,
    french_ticks,
    light_grid,
    new_figure,
    set_title,
    styled,
)
from course_lib.figures.transformer import arrow, box
from course_lib.typography import french_spaces


@styled
def roofline(
    bandwidth: float,
    peak: float,
    points: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Le toit d’une machine : ce qu’elle calcule selon ce qu’elle calcule par octet lu.

    `bandwidth` : débit de la mémoire, en octets par seconde ; `peak` : calcul maximal, en
    opérations par seconde. `points` : série → (opérations par octet, opérations par seconde).
    Source : Williams et al. 2009.
    """
    alt = alt or (
        "Échelles logarithmiques : une pente, celle de la mémoire, puis un plafond, celui du "
        "calcul ; "
        f"sous ce toit, les points de {', '.join(points)}"
    )
    figure, axes = new_figure(4.2, alt)
    measured = np.array([point for series in points.values() for point in series])
    ridge = peak / bandwidth
    low = min(float(measured[:, 0].min()), ridge) / 2
    high = max(float(measured[:, 0].max()), ridge) * 3
    x = np.geomspace(low, high, 200)
    roof = np.minimum(bandwidth * x, peak) / 1e9
    axes.plot(x, roof, color=INK, linewidth=2)
    axes.fill_between(x, roof, roof.max() * 3, color=MUTED, alpha=0.12, linewidth=0)
    left = np.sqrt(low * min(ridge, high))
    axes.text(left, bandwidth * left / 1e9 * 1.35, "débit de la mémoire", rotation=33,
              rotation_mode="anchor", ha="center", color=MUTED, fontsize=11)  # fmt: skip
    axes.text(high * 0.9, peak / 1e9 * 1.12, "calcul maximal", ha="right", color=MUTED, fontsize=11)
    for index, (name, series) in enumerate(points.items()):
        intensities, rates = np.array(series).T
        style = {"marker": "osD^"[index % 4], "markersize": 7, "linewidth": 1.2}
        axes.plot(
            intensities, rates / 1e9, color=color_of(index), label=french_spaces(name), **style
        )
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    axes.set_ylim(float(measured[:, 1].min()) / 1e9 / 2, roof.max() * 2)
    axes.set_xlabel("opérations par octet lu")
    axes.set_ylabel(french_spaces("milliards d’opérations par seconde"))
    french_ticks(axes.xaxis)
    french_ticks(axes.yaxis)
    light_grid(axes, "both")
    axes.legend(loc="lower right")
    set_title(axes, title)
    return figure


@styled
def skill_timelines(
    steps: Sequence[float],
    skills: Sequence[str],
    runs: Mapping[str, Sequence[Sequence[float]]],
    *,
    x_label: str = "pas d’entraînement",
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Une carte par entraînement : chaque compétence, une ligne, au fil des pas ; foncé : réussie.

    `runs` : nom → tableau (compétences, pas) de parts de réussite, entre 0 et 1.
    """
    alt = alt or f"Cartes de réussite de {', '.join(skills)} au fil des pas : {', '.join(runs)}"
    height = 0.9 + len(runs) * (0.55 + 0.24 * len(skills))
    figure, axes = new_figure(height, alt, rows=len(runs), sharex=True, squeeze=False)
    for panel, (name, values) in zip(axes[:, 0], runs.items(), strict=True):
        values = np.asarray(values, float)
        check_lengths(skills=skills, rows=values)
        check_lengths(steps=steps, columns=values[0])
        image = paint(panel, values, SEQUENTIAL, (0, 1), (steps[0], steps[-1]))
        panel.set_yticks(range(len(skills)), list(skills), fontsize=11)
        panel.tick_params(axis="y", length=0)
        panel.set_title(french_spaces(name), loc="left", fontsize=12)
    french_ticks(axes[-1, 0].xaxis)
    axes[-1, 0].set_xlabel(x_label)
    bar = figure.colorbar(image, ax=axes[:, 0].tolist(), shrink=0.6, pad=0.02)
    bar.set_label("part de sondes réussies")
    french_ticks(bar.ax.yaxis)
    set_title(axes[0, 0], title)
    return figure


@styled
def ecosystem_map(*, title: str = "", alt: str | None = None) -> CourseFigure:
    """Le chemin d’un modèle publié : dépôt, bibliothèque, application."""
    alt = alt or (
        "Trois colonnes reliées par des flèches. À gauche le dépôt d’un modèle, avec ses "
        "fichiers ; au milieu les bibliothèques qui le lisent, dont celle du cours ; à droite les "
        "applications"
    )
    figure, axes = new_figure(4.6, alt)
    axes.set(xlim=(0, 12), ylim=(0, 8.4))
    axes.set_axis_off()
    columns = (
        (
            2.0,
            "dépôt",
            COLORS["orange"],
            "#fde3c4",
            ("carte, licence", "config.json", "tokenizer.json", "poids.safetensors"),
        ),
        (
            6.0,
            "bibliothèque",
            COLORS["blue"],
            "#cfe5f8",
            ("transformers", "course_lib", "llama.cpp"),
        ),
        (
            10.0,
            "application",
            COLORS["green"],
            "#d3efe2",
            ("cahier", "site, service", "votre ordinateur"),
        ),
    )
    centers: list[list[tuple[float, float]]] = []
    for x, name, color, fill, entries in columns:
        axes.text(x, 7.9, name, ha="center", va="center", fontweight="bold", color=color)
        rows = np.linspace(6.6, 1.9, len(entries)) if len(entries) > 3 else (6.2, 4.25, 2.3)
        for y, entry in zip(rows, entries, strict=True):
            box(axes, x, y, 3.5, 0.95, entry, fill, fontsize=10.5)
        centers.append([(x, y) for y in rows])
    for _, y in centers[1]:
        arrow(axes, (3.8, 4.25), (4.2, y), color=MUTED)
    for (_, y), (_, goal) in zip(centers[1], centers[2], strict=True):
        arrow(axes, (7.8, y), (8.2, goal), color=MUTED)
    arrow(axes, (4.4, 0.75), (2.0, 1.35), color=COLORS["blue"], connectionstyle="arc3,rad=-0.2")
    note = "un modèle enregistré au même format\nretourne au dépôt"
    axes.text(4.6, 0.6, note, va="center", fontsize=10.5, color=COLORS["blue"])
    set_title(axes, title)
    return figure
