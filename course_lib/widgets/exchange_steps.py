"""Un échange dessiné réplique après réplique : qui parle, ce qu’il écrit, ce que lit le suivant."""

from collections.abc import Sequence

from course_lib.typography import french_spaces
from course_lib.widgets.drawing import WIDTH, Drawing

SPEAKER, ROW, LONGEST = 108, 46, 42  # place du nom, hauteur d’une ligne, signes d’une réplique


def exchange_frames(lines: Sequence[tuple[str, str, str]], title: str) -> list[tuple[Drawing, str]]:
    """Un dessin par réplique : celles d’avant restent, la nouvelle ressort, la suite attend.

    `lines` : (qui, ce qu’il écrit, légende). ValueError si une réplique dépasse 42 signes : elle
    sortirait de sa boîte.
    """
    for who, said, _ in lines:
        if len(french_spaces(said)) > LONGEST:
            raise ValueError(
                f"La réplique de « {who} » a {len(said)} signes, « {said} » : {LONGEST} au plus."
            )
    return [(_drawing(lines, shown, title), caption) for shown, (_, _, caption) in enumerate(lines)]


def _drawing(lines: Sequence[tuple[str, str, str]], shown: int, title: str) -> Drawing:
    who, said, _ = lines[shown]
    drawing = Drawing(ROW * len(lines) + 4, f"{title}, {shown + 1} : {who}, « {said} »")
    for rank, (speaker, text, _) in enumerate(lines):
        y = 6 + ROW * rank
        tone = "new" if rank == shown else "kept" if rank < shown else "faded"
        drawing.text(SPEAKER - 12, y + 16, speaker, anchor="end", tone=tone)
        drawing.box(
            SPEAKER,
            y,
            text if rank <= shown else "",
            width=WIDTH - SPEAKER - 6,
            height=32,
            tone=tone,
        )
        if rank:
            drawing.arrow((SPEAKER + 20, y - 14), (SPEAKER + 20, y - 1), tone=tone)
    return drawing
