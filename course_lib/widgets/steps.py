"""Un schéma qui avance pas à pas : le lecteur le mène d’un curseur, d’un bouton ou du clavier."""

import html
from collections.abc import Sequence

import traitlets

from course_lib.typography import french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget
from course_lib.widgets.bundle import bundle
from course_lib.widgets.drawing import Drawing


class StepDiagram(CourseWidget):
    """Des dessins successifs et légendés ; sans JavaScript, le dernier et toutes les légendes.

    `frames` : couples (dessin, légende), au moins deux. ValueError s’il en manque, ou si deux
    dessins n’ont pas la même hauteur : la page bougerait sous la main.
    """

    module = "step_diagram.js"
    state_fields = ("frames",)
    _esm = bundle(FOLDER / "step_diagram.js")
    frames = traitlets.List().tag(sync=True)

    def __init__(self, frames: Sequence[tuple[Drawing, str]], *, title: str, **kwargs):
        frames = list(frames)
        if len(frames) < 2:
            raise ValueError(f"{len(frames)} dessin : il en faut au moins deux pour avancer.")
        heights = {drawing.height for drawing, _ in frames}
        if len(heights) > 1:
            raise ValueError(
                f"Les dessins ont {len(heights)} hauteurs, {sorted(heights)} : donnez-leur la même."
            )
        state = [{"svg": drawing.svg(), "text": french_spaces(text)} for drawing, text in frames]
        super().__init__(frames=state, title=title, **kwargs)

    def fallback_html(self) -> str:
        """Rend le dernier dessin et la suite des légendes."""
        steps = "".join(f"<li>{html.escape(frame['text'])}</li>" for frame in self.frames)
        return f'<div class="cw">{self.frames[-1]["svg"]}<ol>{steps}</ol></div>'
