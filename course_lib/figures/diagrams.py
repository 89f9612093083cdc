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
    """L’attention d’une requête, à la main : produits, division par √d, exponentielles, parts.

    `query` a la forme `(d,)`, `keys` `(n, d)`, `values` `(n, m)` ; les nombres sont calculés ici.
    """
    query, keys, values = as_array(query), as_array(keys), as_array(values)
    check_lengths(words=words, keys=keys, values=values)
    products = keys @ query
    scores = products / np.sqrt(len(query))
    exponentials = np.exp(scores)
    weights = exponentials / exponentials.sum()
    alt = alt or (
        "L'attention à la main, colonne par colonne : clés, produits, scores, exponentielles, "
        "poids, valeurs ; en bas, la somme pondérée"
    )
    figure, axes = new_figure(2.0 + 0.62 * len(words), alt)
    axes.set(xlim=(0, 10), ylim=(-2.15, len(words) + 0.75))
    axes.set_axis_off()
    columns = {
        "mot": 0.55,
        "clé": 2.2,
        "produit": 3.75,
        "÷ √d": 5.0,
        "exp.": 6.2,
        "poids": 7.45,
        "valeur": 9.2,
    }
    style = {"ha": "center", "va": "center", "fontsize": 11}
    for name, x in columns.items():
        axes.text(x, len(words) + 0.4, name, fontweight="bold", color=MUTED, **style)
    for index, word in enumerate(words):
        y = len(words) - 0.5 - index
        axes.barh(y, 1.2, left=6.85, height=0.62, color=PALE)
        axes.barh(
            y, 1.2 * weights[index], left=6.85, height=0.62, color=color_of(index), alpha=0.35
        )
        numbers = (scores[index], exponentials[index], weights[index])
        written = [_rounded(products[index]), *(format_number(n, 2) for n in numbers)]
        texts = (word, _vector(keys[index]), *written, _vector(values[index]))
        for (name, x), text in zip(columns.items(), texts, strict=True):
            bold = "bold" if name in ("mot", "poids") else "normal"
            axes.text(x, y, text, fontweight=bold, **style)
    axes.axhline(-0.12, color=MUTED, linewidth=1)
    total = f"somme : {format_number(exponentials.sum(), 2)}"
    axes.text(columns["exp."] + 0.5, -0.55, french_spaces(total), **{**style, "ha": "right"})
    axes.text(columns["poids"], -0.55, "1", **style)
    axes.text(0.1, -1.2, f"requête = {_vector(query)}", va="center", color=COLORS["orange"])
    output = f"sortie = {_vector(weights @ values)}"
    axes.text(9.9, -1.2, output, ha="right", va="center", fontweight="bold")
    formula = "produit = requête · clé        poids = exp. ÷ somme        sortie = Σ poids × valeur"
    axes.text(5, -1.85, formula, color=MUTED, **{**style, "fontsize": 10})
    set_title(axes, title)
    return figure


def _rounded(value: float) -> str:
    """Deux décimales au plus."""
    return format_number(value, 2).removesuffix("0").removesuffix(",0")


def _vector(values: np.ndarray) -> str:
    return "(" + f"{NO_BREAK}; ".join(_rounded(value) for value in values) + ")"


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
