"""Schémas d’idées : ce que voit un modèle, l’attention à la main, l’échelle des jetons."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib.figures.maps import as_array
from course_lib.figures.style import (
    COLORS,
    INK,
    MUTED,
    PALE,
    CourseFigure,
    check_lengths,
    color_of,
    new_figure,
    set_title,
    styled,
)
from course_lib.figures.transformer import arrow, box
from course_lib.typography import NO_BREAK, format_number, french_spaces

_STORY = ("Léa", "cache", "la", "clé", "…", "elle", "prend", "la")


@styled
def context_diagram(
    words: Sequence[str] = _STORY, *, order: int = 3, title: str = "", alt: str | None = None
) -> CourseFigure:
    """Ce que voient n-gramme, réseau récurrent et Transformer pour prédire le mot suivant."""
    alt = alt or (
        f"Trois bandes de mots. Le n-gramme ne voit que les {order - 1} derniers mots ; le réseau "
        "récurrent passe tout par une mémoire de taille fixe ; le Transformer regarde chaque mot "
        "directement"
    )
    figure, axes = new_figure(4.6, alt)
    axes.set(xlim=(-0.6, len(words) + 0.75), ylim=(-0.6, 7.7))
    axes.set_axis_off()
    n, target = len(words), len(words)
    rows = (
        (5.7, 1.55, f"{order}-gramme : les {order - 1} derniers mots", COLORS["orange"]),
        (3.0, 1.95, "Réseau récurrent : une mémoire relayée", COLORS["green"]),
        (0.0, 2.1, "Transformer : chaque mot, directement", COLORS["blue"]),
    )
    for row, (y, above, name, color) in enumerate(rows):
        axes.text(-0.5, y + above, french_spaces(name), fontweight="bold", color=color, va="center")
        for index, word in enumerate([*words, "?"]):
            seen = row > 0 or index > n - order
            fill = "#ffffff" if seen else "#eceff3"
            box(axes, index, y, 0.92, 0.8, word, fill, fontsize=10.5, color=INK if seen else MUTED)
        _links(axes, row, y, n, target, order, color)
    set_title(axes, title)
    return figure


def _links(axes: Any, row: int, y: float, n: int, target: int, order: int, color: str) -> None:
    """Trace les liens d’une bande : arcs directs, ou relais de proche en proche."""
    if row == 1:
        for index in range(n):
            arrow(axes, (index, y + 1.15), (index + 1, y + 1.15), color=color, width=2.2)
            arrow(axes, (index, y + 0.4), (index, y + 1.12), color=color, width=1.2)
        arrow(axes, (target, y + 1.15), (target, y + 0.42), color=color, width=2.2)
        return
    first = n - order + 1 if row == 0 else 0
    for index in range(first, n):
        height = 0.3 + 1.2 * (target - index) / (n + 1)
        path = f"arc3,rad={-height / max(target - index, 1):.3f}"
        start, end = (index, y + 0.42), (target, y + 0.42)
        arrow(axes, start, end, color=color, width=1.8, connectionstyle=path)


@styled
def attention_by_hand(
    query: Sequence[float],
    keys: Sequence[Sequence[float]],
    values: Sequence[Sequence[float]],
    words: Sequence[str] = ("le", "chat", "dort"),
    *,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """L’attention d’une requête, à la main : scores q·k/√d, softmax, moyenne des valeurs.

    `query` a la forme `(d,)`, `keys` `(n, d)`, `values` `(n, m)` ; les nombres sont calculés ici.
    """
    query, keys, values = as_array(query), as_array(keys), as_array(values)
    check_lengths(words=words, keys=keys, values=values)
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    alt = alt or (
        "L'attention à la main, colonne par colonne : clés, scores, poids après softmax, valeurs ; "
        "en bas, la somme pondérée"
    )
    figure, axes = new_figure(1.9 + 0.75 * len(words), alt)
    axes.set(xlim=(0, 10), ylim=(-1.7, len(words) + 0.75))
    axes.set_axis_off()
    columns = {"mot": 0.75, "clé": 2.6, "score": 4.75, "poids": 6.75, "valeur": 8.9}
    for name, x in columns.items():
        axes.text(x, len(words) + 0.35, name, ha="center", fontweight="bold", color=MUTED)
    for index, word in enumerate(words):
        y = len(words) - 0.5 - index
        color = color_of(index)
        axes.barh(y, 1.5, left=6.0, height=0.62, color=PALE)
        axes.barh(y, 1.5 * weights[index], left=6.0, height=0.62, color=color, alpha=0.35)
        cells = (word, _vector(keys[index]), format_number(scores[index], 2))
        texts = (*cells, format_number(weights[index], 2), _vector(values[index]))
        for (name, x), text in zip(columns.items(), texts, strict=True):
            bold = "bold" if name in ("mot", "poids") else "normal"
            axes.text(x, y, text, ha="center", va="center", fontweight=bold)
    axes.axhline(-0.15, color=MUTED, linewidth=1)
    axes.text(0.15, -0.65, f"requête = {_vector(query)}", va="center", color=COLORS["orange"])
    output = f"sortie = {_vector(weights @ values)}"
    axes.text(9.85, -0.65, output, ha="right", va="center", fontweight="bold")
    formula = "score = requête · clé / √d        sortie = somme des poids × valeurs"
    axes.text(5, -1.35, formula, ha="center", va="center", fontsize=10.5, color=MUTED)
    set_title(axes, title)
    return figure


def _vector(values: np.ndarray) -> str:
    return (
        "("
        + f"{NO_BREAK}; ".join(
            format_number(value, None if float(value).is_integer() else 2) for value in values
        )
        + ")"
    )


@styled
def tokenization_ladder(
    levels: Sequence[tuple[str, Sequence[str]]] | None = None,
    *,
    title: str = "",
    alt: str | None = None,
) -> CourseFigure:
    """L’échelle des jetons : un même texte en mots, en sous-mots, en caractères.

    `levels` : (nom, morceaux), du plus gros grain au plus fin.
    """
    levels = levels or (
        ("mot", ("incroyablement",)),
        ("sous-mot", ("in", "croy", "able", "ment")),
        ("caractère", tuple("incroyablement")),
    )
    counts = " ; ".join(f"{name} : {len(pieces)}" for name, pieces in levels)
    alt = alt or f"Le même texte à {len(levels)} échelles, en nombre de jetons. {counts}"
    figure, axes = new_figure(0.4 + 1.0 * len(levels), alt)
    width = max(sum(map(len, pieces)) for _, pieces in levels)
    axes.set(xlim=(-0.1, width + 0.1), ylim=(-len(levels) + 0.42, 0.62))
    axes.set_axis_off()
    for row, (name, pieces) in enumerate(levels):
        plural = "s" if len(pieces) > 1 else ""
        text = french_spaces(f"{name} : {len(pieces)} jeton{plural}")
        axes.text(0, -row + 0.42, text, fontweight="bold", va="center", color=MUTED)
        left = 0
        for piece in pieces:
            size = len(piece)
            center = left + size / 2
            fill = ("#cfe5f8", "#fde3c4", "#d3efe2")[row % 3]
            style = {"family": "DejaVu Sans Mono", "fontsize": 13}
            box(axes, center, -row, size - 0.14, 0.46, piece.replace(" ", "␣"), fill, **style)
            left += size
    set_title(axes, title)
    return figure
