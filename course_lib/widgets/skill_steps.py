"""Une base qui se forme, dessinée pas à pas : ce qu’elle réussit, et ce qu’elle écrit."""

from collections.abc import Mapping, Sequence

from course_lib.typography import format_number, format_percent
from course_lib.widgets.drawing import WIDTH, Drawing

_LEFT, _ROOM, _ROW = 92, 320, 36  # place du nom, longueur d’une barre pleine, hauteur d’une ligne
_THICK = 7
_SHOWN = 300  # signes du texte écrit à cette étape


def skill_frames(
    shares: Mapping[int, Mapping[str, Sequence[float]]], writings: Mapping[int, str]
) -> list[tuple[Drawing, str]]:
    """Un dessin par étape : pour chaque compétence, une barre par graine ; en légende, un texte.

    `shares` : étape → compétence → part de réussite de chaque graine, entre 0 et 1 ; `writings` :
    étape → ce que le modèle y écrit. ValueError si une étape n’a pas son texte.
    """
    missing = sorted(set(shares) - set(writings))
    if missing:
        raise ValueError(f"L’étape {missing[0]} n’a pas de texte : donnez-en un à chacune.")
    return [
        (_drawing(step, skills), _caption(step, writings[step])) for step, skills in shares.items()
    ]


def _caption(step: int, text: str) -> str:
    cut = text if len(text) <= _SHOWN else text[:_SHOWN].rsplit(" ", 1)[0] + "…"
    return f"Après {format_number(step)} pas : « {cut} »"


def _drawing(step: int, skills: Mapping[str, Sequence[float]]) -> Drawing:
    told = ", ".join(
        f"{name} {format_percent(min(v), 0)} à {format_percent(max(v), 0)}"
        for name, v in skills.items()
    )
    drawing = Drawing(
        _ROW * len(skills) + 8, f"Sondes réussies après {format_number(step)} pas : {told}"
    )
    for row, (name, values) in enumerate(skills.items()):
        y = 6 + _ROW * row
        drawing.text(_LEFT - 12, y + 13, name, anchor="end")
        for rank, value in enumerate(values):
            top = y + 9 * rank
            drawing.bar(
                _LEFT, top, _ROOM * value, height=_THICK, tone="new" if value >= 0.9 else "kept"
            )
        text = format_percent(sorted(values)[len(values) // 2], 0)
        drawing.text(WIDTH - 8, y + 13, text, anchor="end", tone="plain")
    return drawing
