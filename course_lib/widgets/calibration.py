"""L’explorateur de calibration : la confiance d’un modèle sous toutes les températures."""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from course_lib.evaluation.calibration import calibration_error
from course_lib.typography import format_number
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle

Group = tuple[Sequence[Sequence[float]], Sequence[int]]
DIGITS = 4


class CalibrationExplorer(CourseWidget):
    """Diagramme, écart et justesse d’un modèle, à régler par la température.

    `groups` : nom → (distributions, une liste de probabilités par question ; rang de la vraie
    réponse dans chacune). ValueError si un groupe est vide ou mal formé.
    """

    module = "calibration_explorer.js"
    state_fields = ("groups",)
    _esm = bundle(FOLDER / "calibration_explorer.js")
    groups = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        groups: Mapping[str, Group],
        *,
        title: str = "Explorateur de calibration",
        **kwargs: Any,
    ):
        if not groups:
            raise ValueError("Aucun groupe de questions : donnez-en au moins un.")
        state = {name: _checked(name, *group) for name, group in groups.items()}
        super().__init__(groups=state, title=title, **kwargs)

    def fallback_html(self) -> str:
        """Rend les mesures de chaque groupe à la température 1."""
        rows = []
        for name, group in self.groups.items():
            best = [max(range(len(row)), key=row.__getitem__) for row in group["rows"]]
            confidences = [
                min(1.0, row[rank] / sum(row))
                for row, rank in zip(group["rows"], best, strict=True)
            ]
            correct = [rank == truth for rank, truth in zip(best, group["truths"], strict=True)]
            n = len(correct)
            numbers = (sum(correct) / n, sum(confidences) / n)
            error = calibration_error(confidences, correct)
            rows.append([name, str(n), *(format_number(x, 2) for x in (*numbers, error))])
        headers = ["Questions", "Réponses", "Justesse", "Confiance moyenne", "Écart (ECE)"]
        return html_table(headers, rows, "Calibration à la température 1")


def _checked(name: str, rows: Sequence[Sequence[float]], truths: Sequence[int]) -> dict[str, list]:
    if not rows or len(rows) != len(truths):
        raise ValueError(
            f"Groupe « {name} » : {len(rows)} distributions et {len(truths)} réponses. Il en faut "
            "autant, et au moins une."
        )
    for row, truth in zip(rows, truths, strict=True):
        if not 0 <= truth < len(row) or min(row) < 0 or abs(sum(row) - 1) > 1e-3:
            raise ValueError(
                f"Groupe « {name} » : une distribution de somme {sum(row):.3f} à {len(row)} "
                f"valeurs, vraie réponse n° {truth}. Donnez des probabilités et un rang existant."
            )
    rounded = [[round(p, DIGITS) for p in row] for row in rows]
    return {"rows": rounded, "truths": [int(truth) for truth in truths]}
