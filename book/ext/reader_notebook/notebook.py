"""Assembler le cahier du lecteur : une page du livre, cellule par cellule."""

import hashlib
import json
import platform

import nbformat

from reader_notebook.cells import code_cell, description, role_of, values_of
from reader_notebook.colab import badges, install_cell
from reader_notebook.index import Index, read_page
from reader_notebook.links import Links, repository
from reader_notebook.prose import Prose, folded

WELCOME = (
    "> **Ce cahier s’exécute de haut en bas** : Maj + Entrée passe d’une cellule à la suivante. "
    "Dans JupyterLab et Colab, le code des figures, des mesures et des vérifications est replié : "
    "cliquez sur sa ligne pour l’ouvrir. Les nombres du texte sont ceux qu’a mesurés le cours ; "
    "les vôtres peuvent en différer un peu."
)


ANONYMOUS = "texte"  # une cellule de texte à laquelle aucun lien ne mène


class Assembly:
    """Un cahier en train de s’écrire."""

    def __init__(self, page: str, source: nbformat.NotebookNode, index: Index, links: Links):
        self.prose = Prose(page, index, values_of(source), links)
        self.cells, self.solution = [], None

    def add(self, cell: nbformat.NotebookNode) -> None:
        """Ajoute ce que devient une cellule du chapitre."""
        if cell.cell_type == "markdown":
            self._add_text(cell.source)
        elif self.solution is not None:
            self.solution.append(f"```python\n{cell.source}\n```")
        elif cell.source.strip():
            self._add_code(cell)

    def _add_text(self, text: str) -> None:
        waiting = []
        for block in self.prose.blocks(text):
            if block.kind == "solution-start":
                self.flush(waiting)
                self._open(block.label)
            elif block.kind == "solution-end":
                self._close()
            elif self.solution is not None:
                self.solution.append(block.text.strip("\n"))
            else:
                if block.kind != "text":
                    self.flush(waiting)
                waiting.append(block.text.strip("\n"))
                if block.kind in ("exercise", "entry"):
                    self.flush(waiting, block.label)
        self.flush(waiting)

    def _open(self, label: str) -> None:
        if label not in self.prose.index.exercises:
            raise ValueError(
                f"{self.prose.page} : la solution « {label} » n’est celle d’aucun exercice."
            )
        number = self.prose.index.numbers[label]
        self.solution, self.summary = [], f"Solution de l’exercice {number}"

    def _close(self) -> None:
        if self.solution is None:
            raise ValueError(f"{self.prose.page} : une solution finit sans avoir commencé.")
        body, self.solution = "\n\n".join(self.solution), None
        self.flush([folded(self.summary, body)])

    def _add_code(self, cell: nbformat.NotebookNode) -> None:
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        number = self.prose.index.numbers.get(figure.get("name"))
        self.cells.append(code_cell(cell, number))
        if role_of(cell) == "plumbing":
            return
        parts = [self.prose.caption(figure.get("name", ""), figure["caption"])] if figure else []
        if description(cell):
            parts.append(folded("Description de l’image", self.prose.markdown(description(cell))))
        self.flush(parts)

    def flush(self, parts: list[str], name: str = "") -> None:
        """Fait une cellule de texte de ces morceaux, s’il y en a, et les oublie."""
        if parts:
            cell = nbformat.v4.new_markdown_cell("\n\n".join(parts), id=name or ANONYMOUS)
            if self.prose.attachments:
                cell.attachments = dict(self.prose.attachments)
                self.prose.attachments.clear()
            self.cells.append(cell)
        parts.clear()


def reader_notebook(page: str, index: Index, links: Links, source=None) -> nbformat.NotebookNode:
    """Le cahier du lecteur d’une page (« chapters/03_generation »).

    `source` : le cahier exécuté, lu sur le disque par défaut. ValueError si un renvoi, un nombre,
    une directive ou un rôle ne se résout pas.
    """
    source = read_page(page) if source is None else source
    assembly = Assembly(page, source, index, links)
    for cell in source.cells:
        assembly.add(cell)
    if assembly.solution is not None:
        raise ValueError(f"{page} : la dernière solution n’a pas de fin.")
    cells = assembly.cells
    if any(cell.cell_type == "code" for cell in cells):
        address, branch = repository()
        cells[1:1] = [nbformat.v4.new_markdown_cell(WELCOME, id=ANONYMOUS)]
        if address:
            cells[1].source = f"{badges(page, address, branch)}\n\n{WELCOME}"
            cells[2:2] = [install_cell(cells, address, branch)]
    return finished(cells)


def finished(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """Le cahier complet, tel que JupyterLab l’écrirait : il s’ouvre sans paraître modifié."""
    for rank, cell in enumerate(cells):
        if cell.cell_type == "code" or cell.id == ANONYMOUS:
            cell.id = f"l{rank:03d}-{digest(cell.source, 8)}"
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {
            "codemirror_mode": {"name": "ipython", "version": 3},
            "file_extension": ".py",
            "mimetype": "text/x-python",
            "name": "python",
            "nbconvert_exporter": "python",
            "pygments_lexer": "ipython3",
            "version": platform.python_version(),
        },
        "cours": {"texte": fingerprint(cells), "version": digest(nbformat.writes(notebook), 16)},
    }
    nbformat.validate(notebook)
    return notebook


def fingerprint(cells: list[nbformat.NotebookNode]) -> str:
    """L’empreinte de ce que le lecteur écrit : genre et texte des cellules, non leurs sorties."""
    return digest(json.dumps([[cell.cell_type, cell.source] for cell in cells]), 16)


def digest(text: str, length: int) -> str:
    """Les premiers signes de l’empreinte SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
