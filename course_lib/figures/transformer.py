"""Le schéma du Transformer, dessiné : encodeur, décodeur, attentions, résidus."""

from typing import Any

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_lib.figures.style import (
    COLORS,
    INK,
    MUTED,
    PALE,
    CourseFigure,
    new_figure,
    set_title,
    styled,
)

_FILL = {
    "attention": "#fde3c4",
    "cross": "#f5d5e9",
    "feed": "#cfe5f8",
    "norm": "#ffffff",
    "embed": "#d3efe2",
    "output": "#e4ddf7",
}
_BOX_WIDTH, _LEFT, _RIGHT = 3.4, 2.35, 7.65


def box(
    axes: Any, x: float, y: float, width: float, height: float, text: str, fill: str, **text_options
):
    """Dessine une boîte arrondie centrée en (x, y), avec son texte."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.14",
        facecolor=fill,
        edgecolor=INK,
        linewidth=1.1,
        zorder=3,
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", zorder=4, **{"fontsize": 11, **text_options})


def arrow(axes: Any, start: tuple, end: tuple, *, color: str = INK, width: float = 1.4, **options):
    """Trace une flèche de `start` à `end`."""
    options = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, **options}
    axes.add_patch(FancyArrowPatch(start, end, color=color, linewidth=width, zorder=2, **options))


@styled
def transformer_diagram(*, title: str = "", alt: str | None = None) -> CourseFigure:
    """Le Transformer de 2017 : encodeur à gauche, décodeur à droite (Vaswani et al., figure 1)."""
    alt = alt or (
        "Schéma du Transformer. À gauche, l'encodeur lit la phrase anglaise : plongement, "
        "position, puis N blocs d'attention automatique et de réseau à propagation avant. À "
        "droite, le décodeur écrit le français : attention automatique masquée, attention croisée "
        "vers l'encodeur, réseau à propagation avant, puis la probabilité du mot suivant"
    )
    figure, axes = new_figure(7.4, alt)
    axes.set(xlim=(0, 10), ylim=(-0.35, 12.75))
    axes.set_axis_off()
    _tower_frame(axes, _LEFT, 2.95, 5.05, "ENCODEUR")
    _tower_frame(axes, _RIGHT, 2.95, 7.25, "DÉCODEUR")
    top_left = _sublayers(
        axes,
        _LEFT,
        [("attention\nautomatique", "attention"), ("réseau à\npropagation avant", "feed")],
    )
    top_right = _sublayers(
        axes,
        _RIGHT,
        [
            ("attention automa-\ntique masquée", "attention"),
            ("attention croisée", "cross"),
            ("réseau à\npropagation avant", "feed"),
        ],
    )
    _inputs(axes, _LEFT, "the animal … too tired")
    _inputs(axes, _RIGHT, "<bos> l’ animal … il")
    _memory(axes, top_left)
    _outputs(axes, top_right)
    set_title(axes, title)
    return figure


def _tower_frame(axes: Any, x: float, bottom: float, height: float, name: str) -> None:
    """Le cadre d’une pile de N blocs identiques."""
    frame = FancyBboxPatch(
        (x - 2.15, bottom),
        4.3,
        height,
        boxstyle="round,pad=0,rounding_size=0.25",
        facecolor=PALE,
        edgecolor=MUTED,
        linewidth=1.2,
        zorder=1,
    )
    axes.add_patch(frame)
    y = bottom + height - 0.32
    axes.text(x - 1.95, y, name, fontsize=11.5, fontweight="bold", va="center", zorder=4)
    axes.text(x + 1.95, y, "× N", fontsize=12, fontweight="bold", ha="right", va="center", zorder=4)


def _sublayers(axes: Any, x: float, parts: list[tuple[str, str]]) -> float:
    """Empile les sous-couches, chacune suivie de « somme et norme » ; rend le haut de la pile."""
    y, below = 3.75, 2.45
    for text, kind in parts:
        arrow(axes, (x, below), (x, y - 0.42))
        box(axes, x, y, _BOX_WIDTH, 0.84, text, _FILL[kind], linespacing=1.0)
        norm = y + 0.98
        arrow(axes, (x, y + 0.42), (x, norm - 0.25))
        box(axes, x, norm, _BOX_WIDTH, 0.5, "somme et norme", _FILL["norm"], fontsize=10.5)
        _residual(axes, x, max(below, y - 0.85) + 0.14, norm)
        below, y = norm + 0.25, y + 2.18
    return below


def _residual(axes: Any, x: float, low: float, high: float) -> None:
    """La connexion résiduelle : un détour par l’extérieur de la sous-couche."""
    side = -1 if x < 5 else 1
    edge = x + side * (_BOX_WIDTH / 2 + 0.24)
    axes.plot([x, edge, edge], [low, low, high], color=COLORS["green"], linewidth=1.6, zorder=2)
    target = (x + side * _BOX_WIDTH / 2, high)
    arrow(axes, (edge, high), target, color=COLORS["green"], width=1.6)


def _inputs(axes: Any, x: float, text: str) -> None:
    """Phrase d’entrée, plongement et position."""
    axes.text(x, -0.05, text, ha="center", va="center", fontsize=11, style="italic")
    arrow(axes, (x, 0.25), (x, 0.62))
    box(axes, x, 0.92, _BOX_WIDTH, 0.6, "plongement", _FILL["embed"])
    arrow(axes, (x, 1.22), (x, 1.8))
    box(axes, x, 2.12, _BOX_WIDTH, 0.62, "+ position", _FILL["embed"])


def _memory(axes: Any, top: float) -> None:
    """Ce que l’encodeur transmet : clés et valeurs de l’attention croisée."""
    middle, y = 5.0, 5.93
    axes.plot(
        [_LEFT, _LEFT, middle, middle],
        [top, 8.45, 8.45, y],
        color=COLORS["purple"],
        linewidth=2.4,
        zorder=2,
    )
    arrow(axes, (middle, y), (_RIGHT - _BOX_WIDTH / 2, y), color=COLORS["purple"], width=2.4)
    style = {"color": "#7d3a6b", "fontsize": 11, "ha": "center", "va": "bottom"}
    axes.text((_LEFT + middle) / 2 - 0.15, 8.57, "clés et valeurs", fontweight="bold", **style)


def _outputs(axes: Any, top: float) -> None:
    """Projection sur le vocabulaire, softmax, mot suivant."""
    x = _RIGHT
    arrow(axes, (x, top), (x, 10.45))
    box(axes, x, 10.75, _BOX_WIDTH, 0.6, "tête de sortie", _FILL["output"])
    arrow(axes, (x, 11.05), (x, 11.35))
    box(axes, x, 11.65, _BOX_WIDTH, 0.6, "softmax", _FILL["output"])
    arrow(axes, (x, 11.95), (x, 12.25))
    axes.text(
        x, 12.5, "mot suivant : « était »", ha="center", va="center", fontsize=11, style="italic"
    )
