"""Cinq façons de partager un entraînement entre des processus, chacune en un petit schéma."""

from typing import Any

from course_lib.figures.style import (
    INK,
    MUTED,
    PALE,
    CourseFigure,
    new_figure,
    styled,
)
from course_lib.figures.transformer import arrow, box
from course_lib.typography import french_spaces

# façon → (ce que chacun lit, ce qu’il garde, ce qu’ils échangent), pour deux processus
SHARED = {
    "données": (("lot, 1re moitié", "lot, 2de moitié"), ("tout le modèle",) * 2, "gradients"),
    "poids": (
        ("lot, 1re moitié", "lot, 2de moitié"),
        ("poids, 1re moitié", "poids, 2de moitié"),
        "poids,\ngradients",
    ),
    "matrices": (
        ("tout le lot", "tout le lot"),
        ("moitié gauche\nde chaque matrice", "moitié droite\nde chaque matrice"),
        "sommes\npartielles",
    ),
    "contexte": (
        ("jetons 1 à 4 096", "jetons 4 097 à 8 192"),
        ("tout le modèle",) * 2,
        "clés,\nvaleurs",
    ),
}
_READ, _KEPT = "#d3efe2", "#cfe5f8"


@styled
def sharing_scheme(kind: str, *, alt: str | None = None) -> CourseFigure:
    """Le schéma d’une façon de partager entre deux processus : « données », « poids »…

    ValueError si elle n’est pas de `SHARED` ; le pipeline a le sien, `pipeline_scheme`.
    """
    if kind not in SHARED:
        raise ValueError(f"Façon reçue : {kind!r}. Choisissez parmi {', '.join(SHARED)}.")
    read, kept, exchanged = SHARED[kind]
    alt = alt or (
        f"Deux processus qui partagent : {kind}. L'un lit « {read[0]} » et garde « {kept[0]} », "
        f"l'autre « {read[1]} » et « {kept[1]} ». Ils échangent : {exchanged}"
    )
    figure, axes = new_figure(1.75, alt.replace("\n", " "))
    axes.set(xlim=(0, 10), ylim=(0, 3))
    axes.axis("off")
    for rank, x in enumerate((2.05, 7.95)):
        _frame(axes, x, f"processus {rank + 1}")
        box(axes, x, 1.95, 3.5, 0.62, french_spaces(read[rank]), _READ)
        box(axes, x, 0.8, 3.5, 1.0, french_spaces(kept[rank]), _KEPT)
        arrow(axes, (x, 1.62), (x, 1.33))
    arrow(axes, (4.05, 0.75), (5.95, 0.75), arrowstyle="<|-|>")
    axes.text(5, 0.9, french_spaces(exchanged), ha="center", va="bottom", fontsize=11, color=INK)
    return figure


def _frame(axes: Any, x: float, name: str) -> None:
    """Le cadre d’un processus et son nom."""
    box(axes, x, 1.27, 3.95, 2.3, "", PALE)
    axes.text(x, 2.72, name, ha="center", va="center", fontsize=11, color=MUTED)


@styled
def pipeline_scheme(n_stages: int = 4, n_parts: int = 4, *, alt: str | None = None) -> CourseFigure:
    """La chaîne : qui calcule quoi, et quand. `n_parts` : les petits lots qui se suivent.

    Un aller, puis un retour deux fois plus long ; les cases vides sont des attentes.
    """
    calendar, waiting = pipeline_calendar(n_stages, n_parts)
    length = len(calendar[0])
    alt = alt or (
        f"Calendrier de {n_stages} processus qui se passent {n_parts} petits lots : l'aller "
        f"descend en escalier, le retour remonte ; {round(100 * waiting)} % des cases sont vides"
    )
    figure, axes = new_figure(0.55 + 0.42 * n_stages, alt)
    axes.set(xlim=(-4.2, length), ylim=(n_stages + 0.9, -0.1))
    axes.axis("off")
    for stage, row in enumerate(calendar):
        text = f"blocs {8 * stage + 1} à {8 * stage + 8}"
        axes.text(-0.3, stage + 0.5, text, ha="right", va="center", fontsize=11, color=INK)
        for time, task in enumerate(row):
            fill = PALE if not task else _READ if task > 0 else _KEPT
            text = str(abs(task)) if task else ""
            box(axes, time + 0.5, stage + 0.5, 0.9, 0.82, text, fill, fontsize=10)
    arrow(axes, (0, n_stages + 0.3), (length, n_stages + 0.3), color=MUTED)
    axes.text(length / 2, n_stages + 0.45, "temps", ha="center", va="top", fontsize=11, color=MUTED)
    return figure


def pipeline_calendar(n_stages: int, n_parts: int) -> tuple[list[list[int]], float]:
    """Le calendrier d’une chaîne, et la part des cases vides.

    Une ligne par processus, une case par unité de temps : +k, l’aller du petit lot k ; −k, son
    retour, qui dure deux unités ; 0, l’attente. Tous les allers passent avant les retours.
    """
    length = 3 * (n_stages + n_parts - 1)
    calendar = [[0] * length for _ in range(n_stages)]
    turn = n_stages + n_parts - 1
    for stage in range(n_stages):
        for part in range(n_parts):
            calendar[stage][stage + part] = part + 1
            start = turn + 2 * (n_stages - 1 - stage + part)
            calendar[stage][start] = calendar[stage][start + 1] = -(part + 1)
    empty = sum(task == 0 for row in calendar for task in row)
    return calendar, empty / (n_stages * length)
