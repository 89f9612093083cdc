"""Cartes de chaleur : attention, compétences, contraste Δ, positions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib.figures.style import (
    DIVERGING,
    INK,
    SEQUENTIAL,
    CourseFigure,
    french_ticks,
    new_figure,
    set_title,
    styled,
)
from course_lib.typography import format_number, format_percent


def as_array(values: Any) -> np.ndarray:
    """Ramène un tenseur ou une liste à un tableau de réels."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)


def paint(
    axes: Any,
    values: np.ndarray,
    colors: Any,
    limits: tuple[float, float],
    edges: tuple[float, float] | None = None,
) -> Any:
    """Une case par valeur, première ligne en haut ; `edges` : abscisses du bord gauche et du droit.

    Des cases tracées, et non une image : chacune change de couleur avec le thème de la page.
    """
    rows, columns = values.shape
    left, right = edges or (-0.5, columns - 0.5)
    across, down = np.linspace(left, right, columns + 1), np.arange(rows + 1) - 0.5
    style = {"edgecolor": "face", "linewidth": 0.3, "zorder": 0}
    image = axes.pcolormesh(
        across, down, values, cmap=colors, vmin=limits[0], vmax=limits[1], **style
    )
    axes.set(xlim=(left, right), ylim=(rows - 0.5, -0.5))
    return image


@styled
def attention_heatmap(
    weights: Any,
    words: Sequence[str],
    key_words: Sequence[str] | None = None,
    *,
    title: str = "",
    values: bool | None = None,
    alt: str | None = None,
) -> CourseFigure:
    """Carte des poids d’attention `(Tq, Tk)` : une ligne par mot qui regarde.

    `values` écrit les poids dans les cases (par défaut jusqu’à six mots).
    """
    weights, keys = as_array(weights), list(key_words or words)
    _require_shape(weights, (len(words), len(keys)), "weights")
    alt = alt or f"Carte des poids d'attention entre {len(words)} mots et {len(keys)} mots"
    figure, axes = new_figure(1.3 + 0.36 * max(len(words), 5), alt)
    axes.set_aspect("equal")
    image = paint(axes, weights, SEQUENTIAL, (0, max(1.0, weights.max())))
    _label(axes, words, keys)
    axes.set(ylabel="mot qui regarde", xlabel="mot regardé")
    if len(keys) <= 6 if values is None else values:
        _write(axes, weights, lambda v: format_number(v, 2), lambda v: v > 0.68)
    _color_bar(figure, image, axes, "poids")
    set_title(axes, title)
    return figure


@styled
def gaze_rows(
    weights: Any,
    models: Sequence[str],
    words: Sequence[str],
    *,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Ce que plusieurs modèles regardent dans une même phrase : poids `(modèles, mots)`."""
    weights = as_array(weights)
    _require_shape(weights, (len(models), len(words)), "weights")
    alt = alt or f"Poids d'attention de {', '.join(models)} sur {len(words)} mots"
    figure, axes = new_figure(1.6 + 0.4 * len(models), alt)
    image = paint(axes, weights, SEQUENTIAL, (0, 1))
    _label(axes, models, words)
    axes.set_yticks(np.arange(len(models) + 1) - 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=3)
    axes.tick_params(which="minor", length=0)
    _color_bar(figure, image, axes, "poids")
    set_title(axes, title)
    return figure


@styled
def skills_heatmap(
    scores: Any,
    models: Sequence[str],
    skills: Sequence[str],
    *,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """Carte modèles × compétences ; `scores` est une part de réussite entre 0 et 1."""
    scores = as_array(scores)
    _require_shape(scores, (len(models), len(skills)), "scores")
    alt = alt or (
        f"Réussite de {len(models)} modèles ({', '.join(models)}) sur {len(skills)} compétences : "
        + ", ".join(skills)
    )
    figure, axes = new_figure(1.3 + 0.45 * len(models), alt)
    paint(axes, scores, SEQUENTIAL, (0, 1))
    _label(axes, models, skills)
    _write(axes, scores, format_percent, lambda v: v > 0.68)
    axes.set_xticks(np.arange(len(skills) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(models) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    set_title(axes, title)
    return figure


@styled
def delta_map(
    delta: Any,
    words: Sequence[str],
    *,
    title: str = "",
    label: str = "Δ",
    alt: str | None = None,
) -> CourseFigure:
    """Carte de contraste, positions × blocs ; `delta` a la forme `(blocs, positions)`.

    Le blanc vaut zéro ; rouge et bleu s’opposent, et l’échelle est symétrique.
    """
    delta = as_array(delta)
    _require_shape(delta, (delta.shape[0], len(words)), "delta")
    alt = alt or f"Carte de {label} pour {len(words)} positions et {delta.shape[0]} blocs"
    figure, axes = new_figure(1.9 + 0.5 * delta.shape[0], alt)
    limit = max(float(np.abs(delta).max()), 1e-9)
    image = paint(axes, delta, DIVERGING, (-limit, limit))
    _label(axes, [str(i + 1) for i in range(delta.shape[0])], words)
    axes.set(ylabel="bloc", xlabel="mot (position)")
    _color_bar(figure, image, axes, label)
    set_title(axes, title)
    return figure


@styled
def sinusoidal_positions(
    n_positions: int = 60, d_model: int = 64, *, title: str = "", alt: str | None = None
) -> CourseFigure:
    """Carte des positions sinusoïdales (Vaswani et al., 2017, § 3.5)."""
    position = np.arange(n_positions)[:, None]
    angle = position / 10_000 ** (np.arange(0, d_model, 2)[None, :] / d_model)
    encoding = np.empty((n_positions, d_model))
    encoding[:, 0::2], encoding[:, 1::2] = np.sin(angle), np.cos(angle)[:, : d_model // 2]
    alt = alt or (
        "Positions sinusoïdales : des bandes rapides à gauche, de plus en plus lentes à droite ; "
        "chaque ligne est la signature d'une position"
    )
    figure, axes = new_figure(3.6, alt)
    image = axes.imshow(encoding, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
    axes.set(xlabel="dimension du vecteur", ylabel="position")
    _color_bar(figure, image, axes, "valeur")
    set_title(axes, title)
    return figure


def _require_shape(values: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} a la forme {values.shape} ; il faut {shape}, comme les libellés.")


def _label(axes: Any, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Pose les libellés ; ceux des colonnes se penchent, puis se dressent, s’ils sont nombreux."""
    crowded, packed = sum(map(len, columns)) > 34, len(columns) > 14
    axes.set_yticks(range(len(rows)), rows)
    rotation = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    rotation = {"rotation": 90, "fontsize": 10} if packed else rotation
    axes.set_xticks(range(len(columns)), columns, **rotation)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _write(axes: Any, values: np.ndarray, text: Any, is_dark: Any) -> None:
    """Écrit chaque valeur dans sa case, en blanc sur les cases foncées."""
    for (row, column), value in np.ndenumerate(values):
        color = "white" if is_dark(value) else INK
        axes.text(column, row, text(value), ha="center", va="center", color=color, fontsize=11)


def _color_bar(figure: Any, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(label)
    french_ticks(bar.ax.yaxis)
