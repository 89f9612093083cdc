"""L’explorateur de lisibilité : on tape un texte, on voit ce que l’indice en dit.

La page compte comme `course_lib.evaluation.readability`, dont elle reçoit les règles ; un test
compare les deux.
"""

from collections.abc import Mapping
from typing import Any

import traitlets

from course_lib.evaluation.readability import counting_rules, readability
from course_lib.typography import format_number
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle


class ReadabilityExplorer(CourseWidget):
    """Un texte à modifier, ses comptes, et sa place parmi des publics.

    `texts` : public → texte de départ ; `marks` : public → indice de Kandel et Moles typique.
    ValueError si les publics diffèrent, ou si un texte n’a aucun mot.
    """

    module = "readability_explorer.js"
    state_fields = ("texts", "marks", "rules")
    _esm = bundle(FOLDER / "readability_explorer.js")
    texts = traitlets.Dict().tag(sync=True)
    marks = traitlets.Dict().tag(sync=True)
    rules = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        texts: Mapping[str, str],
        marks: Mapping[str, float],
        *,
        title: str = "Explorateur de lisibilité",
        **kwargs: Any,
    ):
        if not texts or set(texts) != set(marks):
            raise ValueError(
                f"Textes pour {', '.join(texts) or 'personne'}, repères pour "
                f"{', '.join(marks) or 'personne'} : il faut les mêmes publics, un au moins."
            )
        for text in texts.values():
            readability(text)
        rounded = {name: round(float(value), 1) for name, value in marks.items()}
        state = {"texts": dict(texts), "marks": rounded, "rules": counting_rules()}
        super().__init__(title=title, **state, **kwargs)

    def fallback_html(self) -> str:
        """Rend le tableau des textes de départ et de leurs comptes."""
        rows = []
        for name, text in self.texts.items():
            counts = readability(text)
            numbers = (counts.sentence_length, counts.syllables_per_word, counts.kandel_moles)
            cells = [format_number(n, d) for n, d in zip(numbers, (1, 2, 1), strict=True)]
            rows.append([name, text, *cells])
        headers = ["Public", "Texte", "Mots par phrase", "Syllabes par mot", "Kandel-Moles"]
        return html_table(headers, rows, "Un texte par public, et son indice de lisibilité")
