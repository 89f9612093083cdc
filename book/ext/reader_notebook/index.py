"""Ce que les chapitres se disent entre eux : titres, numéros, termes, ouvrages, adresses."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
import yaml
from pybtex.database import parse_file

from reader_notebook.cells import role_of
from reader_notebook.myst import ROOT, Piece, cut, settings

CHAPTERS = ROOT / "chapters"


@dataclass
class Index:
    """Le livre entier, vu d’un chapitre : les mêmes numéros que le site, dans le même ordre."""

    titles: dict[str, tuple[str, str]] = field(default_factory=dict)  # étiquette → page, titre
    numbers: dict[str, int] = field(default_factory=dict)  # étiquette → rang dans le livre
    exercises: dict[str, str] = field(default_factory=dict)  # étiquette → titre de l’exercice
    terms: dict[str, str] = field(default_factory=dict)  # terme en minuscules → terme
    works: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # clé → auteurs, an, lien
    counts: dict[str, int] = field(default_factory=dict)

    def number(self, kind: str, label: str) -> None:
        """Donne à `label` le numéro suivant de son espèce (Figure, Exercice, équation)."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.numbers[label] = self.counts[kind]

    def add_page(self, page: str, notebook: nbformat.NotebookNode) -> None:
        """Relève une page, cellule par cellule."""
        waiting = []  # les étiquettes qui précèdent un titre
        for cell in notebook.cells:
            if cell.cell_type == "code":
                name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
                if name and role_of(cell) != "plumbing":  # le site n’en montre rien
                    self.number("Figure", name)
                continue
            for piece in cut(cell.source):
                waiting = self._add_piece(page, piece, waiting)

    def _add_piece(self, page: str, piece: Piece, waiting: list[str]) -> list[str]:
        """Relève un morceau ; rend les étiquettes qui attendent encore leur titre."""
        if piece.kind == "target":
            return [*waiting, piece.name]
        if piece.kind == "heading":
            title = piece.text.lstrip("# ").split("\n")[0]
            self.titles |= {label: (page, title) for label in waiting}
            self.titles.setdefault(page, (page, title))
        elif piece.kind == "equation" and "label" in piece.options:
            self.number("équation", piece.options["label"])
        elif piece.kind == "directive":
            self._add_directive(page, piece)
        return [] if piece.text.strip() else waiting

    def _add_directive(self, page: str, piece: Piece) -> None:
        name, label = piece.name, piece.options.get("label")
        if name == "exercise" and label:
            self.number("Exercice", label)
            self.exercises[label] = piece.argument
            self.titles[label] = (page, piece.argument)
        elif name == "math" and label:
            self.number("équation", label)
        elif name == "figure" and "name" in piece.options:
            self.number("Figure", piece.options["name"])
        elif name == "glossary":
            terms = [line for line in piece.text.split("\n") if line and not line[0].isspace()]
            self.terms |= {term.lower(): term for term in terms}


def pages() -> list[str]:
    """Les pages du livre, dans l’ordre de `book/_toc.yml`, sans extension."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def read_page(page: str) -> nbformat.NotebookNode:
    """Le cahier exécuté d’un chapitre, ou la page de texte en une seule cellule.

    FileNotFoundError si le chapitre n’a pas été exécuté.
    """
    if not page.startswith("chapters/"):
        text = (ROOT / f"{page}.md").read_text("utf-8")
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    path = ROOT / f"{page}.ipynb"
    if not path.exists():
        raise FileNotFoundError(
            f"{page}.ipynb n’existe pas : le chapitre n’est pas exécuté. "
            "Lancez « python cours.py chapitres »."
        )
    return nbformat.read(path, as_version=4)


def read_works(path: Path) -> dict[str, tuple[str, str, str]]:
    """Les ouvrages de la bibliographie : auteurs comme dans le texte, année, adresse ou rien."""
    return {
        key: (authors(entry.persons["author"]), entry.fields["year"], address(entry.fields))
        for key, entry in parse_file(str(path)).entries.items()
    }


def authors(people) -> str:
    """« Jain », « Jain et Wallace », « Vaswani et al. »."""
    names = [str(part) for part in (_last_name(person) for person in people)]
    if len(names) > 2 or names[-1] == "others":
        return f"{names[0]} et al."
    return " et ".join(names)


def _last_name(person) -> str:
    parts = [*person.rich_prelast_names, *person.rich_last_names]
    return " ".join(str(part) for part in parts)


def address(fields) -> str:
    """L’adresse de l’article : DOI, lien ou arXiv ; vide sinon."""
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "url" in fields:
        return fields["url"]
    return f"https://arxiv.org/abs/{fields['eprint']}" if "eprint" in fields else ""


@cache
def book_index() -> Index:
    """Le relevé du livre, fait une fois."""
    index = Index()
    for path in settings()["bibtex_bibfiles"]:
        index.works |= read_works(ROOT / path)
    for page in pages():
        index.add_page(page, read_page(page))
    return index
