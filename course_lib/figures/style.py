"""L’identité visuelle du cours : couleurs, tailles, nombres français, texte de remplacement.

Dans un cahier, une figure en dernière ligne de cellule s’affiche une seule fois, en SVG, avec son
`alt` ; ses couleurs suivent le thème de la page. Sur le site, myst-nb lit le texte de remplacement
dans les métadonnées de la cellule :

    ```{code-cell} ipython3
    ---
    mystnb:
      image:
        alt: Carte de chaleur des poids d’attention ; « it » regarde « animal ».
      figure:
        name: fig-carte
        caption: Poids d’attention entre les mots.
    ---
    attention_heatmap(weights, words)
    ```
"""

import math
from collections.abc import Sequence
from io import StringIO
from typing import Any

from course_lib.extras import needed_by

with needed_by("figures"):
    from matplotlib import colormaps, rc_context
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

from course_lib.figures.themes import themed
from course_lib.typography import format_number, french_spaces

# Palette d’Okabe et Ito (2008), assombrie pour rester lisible sur fond clair : elle se distingue
# aussi quand on voit mal le rouge ou le vert.
COLORS = {
    "blue": "#0b5cad",
    "orange": "#c75b00",
    "green": "#00795a",
    "purple": "#a0528b",
    "sky": "#2f9bd6",
    "yellow": "#b98a00",
}
CYCLE = tuple(COLORS.values())
# Une couleur par modèle, la même dans tout le livre.
MODEL_COLORS = {
    "n-gramme": COLORS["orange"],
    "LSTM": COLORS["green"],
    "GRU": COLORS["yellow"],
    "Transformer": COLORS["blue"],
    "romancier": COLORS["purple"],
    "SmolLM2": COLORS["sky"],
}
INK, MUTED, CARD, GRID, PALE = "#1a2029", "#4a5462", "#fbfcfe", "#d5dbe4", "#e8eef6"
# Vingt-quatre teintes suffisent à l’œil, et chacune a sa couleur dans le thème sombre.
N_SHADES = 24
SEQUENTIAL = colormaps["Blues"].resampled(N_SHADES)
DIVERGING = colormaps["RdBu_r"].resampled(N_SHADES + 1)  # impair : le zéro a la sienne
WIDTH = 5.8  # pouces : 12 points y font encore 10 pixels sur un téléphone de 390 pixels

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": CARD,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": CARD,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "svg.hashsalt": "cours",
}

# Décorateur des fonctions de figures : leurs textes aussi naissent dans ce style.
styled = rc_context(_STYLE)


class CourseFigure(Figure):
    """Figure matplotlib qui porte `alt` et s’affiche d’elle-même dans un cahier.

    Elle ne passe pas par pyplot : rien de global, pas d’affichage en double.
    """

    alt: str = ""

    def __repr__(self) -> str:
        """Rend un texte stable, que nbval compare d’une exécution à l’autre."""
        return f"Figure : {self.alt}"

    def to_svg(self) -> str:
        """Rend l’image SVG, pour les deux thèmes, sans date : mêmes données, mêmes octets."""
        buffer = StringIO()
        with rc_context(_STYLE):
            self.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return themed(buffer.getvalue())

    def _ipython_display_(self) -> None:
        from IPython.display import display

        width = int(self.get_size_inches()[0] * 100)
        data = {"image/svg+xml": self.to_svg(), "text/plain": repr(self)}
        display(data, raw=True, metadata={"image/svg+xml": {"width": width, "alt": self.alt}})


def new_figure(
    height: float, alt: str, *, columns: int = 1, rows: int = 1, **options: Any
) -> tuple[CourseFigure, Any]:
    """Crée une figure à la largeur du cours, haute de `height` pouces ; rend (figure, axes)."""
    with rc_context(_STYLE):
        figure = CourseFigure(figsize=(WIDTH, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        FigureCanvasAgg(figure)
        figure.alt = french_spaces(alt)
        axes = figure.subplots(rows, columns, **options)
    return figure, axes


def french_ticks(axis: Any, digits: int | None = None) -> None:
    """Écrit les graduations d’un axe (`axes.xaxis`, `axes.yaxis`) à la française."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value, digits)))


def light_grid(axes: Axes, axis: str = "y") -> None:
    """Pose un quadrillage discret derrière les données."""
    axes.grid(axis=axis, color=GRID, linewidth=0.8)


def set_title(axes: Axes, title: str) -> None:
    """Titre à gauche, gras, typographié ; rien si le titre est vide."""
    if title:
        axes.set_title(french_spaces(title), loc="left", fontsize=13, fontweight="bold", color=INK)


def legend_above(figure: CourseFigure) -> None:
    """Pose la légende au-dessus du dessin : aucune courbe ne la traverse."""
    figure.legend(loc="outside upper center", ncols=2, fontsize=10.5)


def spaced_ticks(values: Sequence[float], least: float = 0.17) -> list[float]:
    """Les graduations logarithmiques qui gardent leur distance : une part `least` de l’axe.

    La dernière reste ; une voisine trop proche perd son nombre.
    """
    kept: list[float] = []
    reach = math.log(max(values) / min(values)) or 1.0
    for value in sorted(values, reverse=True):
        if not kept or math.log(kept[-1] / value) >= least * reach:
            kept.append(value)
    return kept[::-1]


def color_of(index: int) -> str:
    """Rend la couleur n° `index` de la palette, qui recommence après la sixième."""
    return CYCLE[index % len(CYCLE)]


def model_color(name: str, index: int = 0) -> str:
    """La couleur du modèle que ce nom désigne ; à défaut, la n° `index` de la palette.

    « petit Transformer », « 5-gramme »… : le nom peut préciser lequel.
    """
    if name.endswith("-gramme"):
        return MODEL_COLORS["n-gramme"]
    found = [color for model, color in MODEL_COLORS.items() if model in name]
    return found[0] if found else color_of(index)


def check_lengths(**named: Sequence) -> None:
    """ValueError si les suites nommées n’ont pas toutes la même longueur."""
    lengths = {name: len(values) for name, values in named.items()}
    if len(set(lengths.values())) > 1:
        detail = ", ".join(f"{name} : {length}" for name, length in lengths.items())
        raise ValueError(f"Ces suites doivent avoir la même longueur ({detail}).")
