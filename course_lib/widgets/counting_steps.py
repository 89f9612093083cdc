"""Les schémas qui comptent : les paramètres d’un petit Transformer, les octets d’un paramètre.

Chaque case dessinée en est un : on peut les compter du doigt. Les tailles sont lues dans la
configuration, ou calculées par `course_lib.scaling`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.scaling import Memory, parameter_breakdown
from course_lib.transformer import LlamaConfig
from course_lib.widgets.drawing import WIDTH, Drawing

CELL = 12  # côté d’une case
MOST_CELLS = 200  # au-delà, les cases ne se comptent plus


@dataclass(frozen=True)
class Piece:
    """Une partie du modèle : ses matrices (lignes, colonnes, nom), sa formule, sa légende."""

    title: str
    matrices: Sequence[tuple[int, int, str]]
    formula: str
    caption: str

    @property
    def count(self) -> int:
        """Ses paramètres : autant que de cases."""
        return sum(rows * columns for rows, columns, _ in self.matrices)


def counting_frames(config: LlamaConfig) -> list[tuple[Drawing, str]]:
    """Les dessins successifs : chaque partie ajoute ses matrices, et le total grandit.

    ValueError si le modèle a plus d’un bloc ou trop de paramètres pour qu’on les dessine.
    """
    total = sum(parameter_breakdown(config).values())
    if config.n_layers != 1 or total > MOST_CELLS:
        raise ValueError(
            f"{config.n_layers} bloc(s) et {total} paramètres : le dessin en montre un bloc et "
            f"{MOST_CELLS} paramètres au plus. Prenez une plus petite configuration."
        )
    pieces = _pieces(config)
    return [(_drawing(pieces, step), _caption(pieces, step)) for step in range(len(pieces))]


def _pieces(config: LlamaConfig) -> list[Piece]:
    vocab, d, f = config.vocab_size, config.d_model, config.d_ff
    roles = ("requêtes", "clés", "valeurs", "sortie")
    return [
        Piece(
            "table de plongement",
            [(vocab, d, "une ligne par jeton")],
            f"V × d = {vocab} × {d}",
            f"Un vecteur de {d} nombres pour chacun des {vocab} jetons. La tête de sortie emploie "
            "la même table : elle ne compte pas deux fois.",
        ),
        Piece(
            "attention",
            [(d, d, role) for role in roles],
            f"4 × d × d = 4 × {d} × {d}",
            "Quatre matrices carrées : requêtes, clés, valeurs, et celle qui réunit les têtes.",
        ),
        Piece(
            "réseau",
            [(d, f, "porte"), (d, f, "aller"), (f, d, "retour")],
            f"3 × d × f = 3 × {d} × {f}",
            f"Trois matrices entre {d} et {f} nombres : deux à l’aller, dont une porte, qui laisse "
            "passer plus ou moins de chaque nombre, et une au retour.",
        ),
        Piece(
            "normes",
            [(1, d, "attention"), (1, d, "réseau"), (1, d, "à la fin")],
            f"3 × d = 3 × {d}",
            "Une norme avant chaque sous-couche, une à la fin : un coefficient par composante.",
        ),
    ]


def _caption(pieces: Sequence[Piece], step: int) -> str:
    counts = [piece.count for piece in pieces[: step + 1]]
    total = " + ".join(map(str, counts)) + (f" = {sum(counts)}" if step else "")
    return f"{pieces[step].caption} En tout : {total}."


def _drawing(pieces: Sequence[Piece], step: int) -> Drawing:
    shown = sum(piece.count for piece in pieces[: step + 1])
    heights = [34 + CELL * max(rows for rows, _, _ in piece.matrices) + 26 for piece in pieces]
    drawing = Drawing(sum(heights), f"Le compte, étape {step + 1} : {shown} paramètres dessinés")
    top = 0
    for rank, (piece, height) in enumerate(zip(pieces, heights, strict=True)):
        tone = "new" if rank == step else "kept" if rank < step else "faded"
        drawing.text(8, top + 16, piece.title, tone=tone)
        if rank <= step:
            drawing.text(WIDTH - 8, top + 16, f"{piece.formula} = {piece.count}", anchor="end")
        _matrices(drawing, piece, top + 30, tone if rank <= step else None)
        top += height
    return drawing


def _matrices(drawing: Drawing, piece: Piece, top: float, tone: str | None) -> None:
    room = (WIDTH - 16) / len(piece.matrices)
    for rank, (rows, columns, name) in enumerate(piece.matrices):
        left = 8 + rank * room + (room - columns * CELL) / 2
        if tone is None:
            drawing.bar(left, top, columns * CELL, height=rows * CELL, tone="faded")
            continue
        for row in range(rows):
            for column in range(columns):
                x, y = left + column * CELL, top + row * CELL
                drawing.bar(x, y, CELL - 2, height=CELL - 2, tone=tone)
        drawing.text(8 + (rank + 0.5) * room, top + rows * CELL + 10, name, anchor="middle")


def byte_frames(memory: Memory, n_parameters: int) -> list[tuple[Drawing, str]]:
    """Ce qui s’attache à un paramètre qu’on entraîne en demi-précision, octet par octet.

    `memory` : ce que la bibliothèque compte pour `n_parameters` paramètres. ValueError si ce n’est
    pas un apprentissage en demi-précision.
    """
    weight, gradient, kept = (
        value / n_parameters for value in (memory.weights, memory.gradients, memory.optimizer)
    )
    if (weight, gradient, kept) != (2, 2, 12):
        raise ValueError(
            f"{weight:g} + {gradient:g} + {kept:g} octets par paramètre : le dessin montre un "
            "apprentissage en demi-précision. Donnez training_memory(…, dtype='bfloat16')."
        )
    parts = [
        ("le poids", 2, "Le poids, sur deux octets. Pour lire, il suffit."),
        ("son gradient", 2, "Pour apprendre, son gradient : de combien et vers où le changer."),
        (
            "deux moyennes",
            8,
            "L’optimiseur tient deux moyennes de ses gradients, sur quatre octets.",
        ),
        (
            "une copie précise",
            4,
            "Deux octets arrondissent trop : on garde du poids une copie précise.",
        ),
    ]
    frames = []
    for step in range(len(parts)):
        counts = [count for _, count, _ in parts[: step + 1]]
        drawing = Drawing(26 * len(parts) + 8, f"{sum(counts)} octets dessinés")
        for rank, (name, count, _) in enumerate(parts):
            tone = "new" if rank == step else "kept" if rank < step else "faded"
            drawing.text(150, 18 + 26 * rank, name, anchor="end", tone=tone)
            for byte in range(count if rank <= step else 0):
                drawing.bar(164 + 20 * byte, 9 + 26 * rank, 17, height=17, tone=tone)
            if rank <= step:
                drawing.text(172 + 20 * count, 18 + 26 * rank, f"{count} octets", tone=tone)
        total = " + ".join(map(str, counts)) + (f" = {sum(counts)}" if step else "")
        frames.append((drawing, f"{parts[step][2]} En tout : {total} octets."))
    return frames
