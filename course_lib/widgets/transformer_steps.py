"""Un jeton à travers le Transformer, dessiné pas à pas : le schéma qui bouge du chapitre 01.

Les nombres sont ceux d’un vrai modèle : le vecteur du jeton après chaque couche, les poids de
chaque attention, les probabilités de la fin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.typography import format_percent
from course_lib.widgets.drawing import WIDTH, Drawing

HEIGHT, SHOWN = 338, 16  # le dessin, et les nombres montrés d’un vecteur
_LEFT, _BOX, _TOP, _STEP = 8, 132, 74, 36
_BARS, _AXIS = 168, 176


@dataclass(frozen=True)
class Passage:
    """Une couche traversée : son nom, sa légende, le vecteur qui en sort.

    `weights` : pour une attention, la part que le jeton donne à chaque mot.
    """

    name: str
    caption: str
    vector: Sequence[float]
    weights: Sequence[float] = ()


def token_frames(
    words: Sequence[str], passages: Sequence[Passage], candidates: Sequence[tuple[str, float]]
) -> list[tuple[Drawing, str]]:
    """Le dernier jeton de `words` traverse les couches, puis la tête de sortie.

    `candidates` : (mot, probabilité) des suites les plus probables. ValueError si une attention n’a
    pas un poids par mot.
    """
    for passage in passages:
        if passage.weights and len(passage.weights) != len(words):
            raise ValueError(
                f"{len(passage.weights)} poids pour {len(words)} mots dans « {passage.name} » : "
                "donnez-en un par mot."
            )
    names = [*(passage.name for passage in passages), "tête de sortie"]
    largest = max(abs(value) for p in passages for value in p.vector[:SHOWN]) or 1.0
    frames = []
    for step, passage in enumerate(passages):
        drawing = _stack(words, names, step)
        _vector(drawing, passage.vector[:SHOWN], largest)
        _gaze(drawing, words, passage.weights)
        frames.append((drawing, passage.caption))
    drawing = _stack(words, names, len(passages))
    for rank, (word, probability) in enumerate(candidates):
        y = 130 + 34 * rank
        drawing.text(262, y, word, anchor="end", tone="kept")
        drawing.bar(270, y - 9, 130 * probability, height=18, tone="kept" if rank else "chosen")
        drawing.text(278 + 130 * probability, y, format_percent(probability))
    caption = (
        f"La tête de sortie change le vecteur en un score par mot, le softmax en probabilités. Le "
        f"mot attendu d’abord : « {candidates[0][0]} »."
    )
    return [*frames, (drawing, caption)]


def _stack(words: Sequence[str], names: Sequence[str], step: int) -> Drawing:
    """Les mots en haut, les couches à gauche : faites, en cours, à venir."""
    drawing = Drawing(HEIGHT, f"« {words[-1]} » traverse le modèle, étape : {names[step]}")
    width = (WIDTH - 16) / len(words) - 4
    for rank, word in enumerate(words):
        tone = "chosen" if rank == len(words) - 1 else "plain"
        drawing.box(8 + rank * (width + 4), 8, word, width=width, tone=tone)
    for rank, name in enumerate(names):
        tone = "new" if rank == step else "kept" if rank < step else "faded"
        drawing.box(_LEFT, _TOP + _STEP * rank, name, width=_BOX, height=28, tone=tone)
    return drawing


def _vector(drawing: Drawing, values: Sequence[float], largest: float) -> None:
    """Les premières coordonnées du vecteur, en barres de part et d’autre d’un axe."""
    room = (WIDTH - 8 - _BARS) / SHOWN
    for rank, value in enumerate(values):
        size = 56 * abs(value) / largest
        top = _AXIS + 66 - (size if value > 0 else 0)
        drawing.bar(_BARS + rank * room, top, room - 5, height=max(size, 1), tone="new")
    drawing.text(_BARS, HEIGHT - 16, f"son vecteur, {len(values)} nombres montrés", tone="faded")


def _gaze(drawing: Drawing, words: Sequence[str], weights: Sequence[float]) -> None:
    """Sous chaque mot, la part d’attention qu’il reçoit."""
    if not weights:
        return
    width = (WIDTH - 16) / len(words) - 4
    for rank, weight in enumerate(weights):
        x = 8 + rank * (width + 4)
        drawing.bar(x, 44, max(width * weight, 1), height=8, tone="chosen")
        if weight >= 0.1:
            drawing.text(x, 60, format_percent(weight), tone="chosen")
