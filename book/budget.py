"""Ce qu’un chapitre demande à son lecteur, en Lecture : mots, lignes de code, images.

La hauteur de la page se mesure dans un navigateur : `tests/test_budget.py` s’en charge.

    python book/budget.py
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import jupytext
import nbformat

BOOK = Path(__file__).resolve().parent
CHAPTERS = BOOK.parent / "chapters"
SCREEN = (1366, 900)  # un écran de portable, en pixels
MAX_SCREENS = 20
FENCE = re.compile(r"^(`{3,}|:{3,})(?:\{([\w-]+)\}\s*(.*))?")
# Le texte de ces directives se lit ; celui des autres (formules, code) ne se compte pas en mots.
READ = {"admonition", "exercise", "note", "tip", "hint", "warning", "important", "epigraph"}
NOT_READ = re.compile(r":\w|    |\(.*\)=$")  # une option, une commande en retrait, une étiquette
ROLE = re.compile(r"\{[\w:-]+\}`([^`<]*?)\s*(?:<[^`>]*>)?`")
PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
WIDGET = re.compile(r'<course-widget[^>]*module="(?!quiz)')


@dataclass(frozen=True)
class Measure:
    """Les mesures d’un chapitre, ou leurs bornes."""

    words: int  # mots de prose
    lines: int  # lignes de code montrées, hors solutions
    longest: int  # lignes de la plus longue cellule montrée
    words_per_picture: int  # mots pour une figure, un dessin ou un composant


LIMITS = Measure(words=3000, lines=150, longest=15, words_per_picture=250)
LABELS = ("mots", "lignes", "plus longue", "mots par image")


@dataclass(frozen=True)
class Cell:
    """Une cellule de code, avec ce que le chapitre dit d’elle."""

    index: int
    tags: tuple[str, ...]
    source: str
    in_solution: bool
    outputs: tuple = ()

    def has(self, *roles: str) -> bool:
        """Dit si la cellule a l’un de ces rôles."""
        return bool(set(roles) & set(self.tags))


def measure(source: Path) -> Measure:
    """Mesure un chapitre : le texte dans la source, les sorties dans le cahier exécuté.

    FileNotFoundError si le cahier manque.
    """
    words = count_words(source.read_text("utf-8"))
    shown = [shown_lines(cell) for cell in code_cells(source)]
    n_pictures = sum(pictures(cell) for cell in code_cells(source) if not cell.in_solution)
    return Measure(words, sum(shown), max(shown, default=0), words // max(n_pictures, 1))


def code_cells(source: Path) -> Iterator[Cell]:
    """Les cellules de code d’un chapitre, avec leurs sorties."""
    target = source.with_suffix(".ipynb")
    if not target.exists():
        raise FileNotFoundError(
            f"{target.name} n’existe pas : exécutez le chapitre, « python cours.py chapitres »."
        )
    executed = [c for c in nbformat.read(target, as_version=4).cells if c.cell_type == "code"]
    outputs = {cell.source: cell.outputs for cell in executed}
    in_solution = False
    for index, cell in enumerate(jupytext.read(source).cells):
        if cell.cell_type == "code":
            tags = tuple(cell.metadata.get("tags", ()))
            found = tuple(outputs.get(cell.source, ()))
            yield Cell(index, tags, cell.source, in_solution, found)
        else:
            for mark in re.findall(r"\{solution-(start|end)\}", cell.source):
                in_solution = mark == "start"


def shown_lines(cell: Cell) -> int:
    """Lignes non vides de code que la cellule montre en Lecture : les siennes, ou sa sortie."""
    if cell.in_solution or cell.has("plumbing", "check"):
        return 0
    texts = [cell.source] if cell.has("teaching", "exercise") else []
    for output in cell.outputs:
        texts += PYTHON_BLOCK.findall(str(output.get("data", {}).get("text/markdown", "")))
    return sum(bool(line.strip()) for text in texts for line in text.splitlines())


def pictures(cell: Cell) -> int:
    """Figures, dessins et composants que la cellule montre ; un quiz n’en est pas un."""
    if cell.has("plumbing", "check"):
        return 0
    found = 0
    for output in cell.outputs:
        data = output.get("data", {})
        html = str(data.get("text/html", ""))
        found += any(mime.startswith("image/") for mime in data)
        found += bool(WIDGET.search(html)) or ("<svg" in html and "<course-widget" not in html)
    return found


def count_words(text: str) -> int:
    """Mots de prose, titres compris : ni code, ni formule affichée, ni solution."""
    return sum(len(words_of(line)) for line in prose(text))


def prose(text: str) -> Iterator[str]:
    """Les lignes de prose d’un chapitre MyST, solutions et blocs de code mis à part."""
    lines = iter(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).splitlines())
    in_solution = in_formula = False
    for line in lines:
        if fence := FENCE.match(line):
            name = fence[2]
            if name in ("solution-start", "solution-end"):
                in_solution = name == "solution-start"
            if name in READ and not in_solution:
                yield fence[3]
            elif name not in READ and line.rstrip() != fence[1]:  # sinon, la fin d’un bloc lu
                skip_block(lines, fence[1])
        elif line.startswith("$$"):
            in_formula = not in_formula and not (len(line) > 2 and line.endswith("$$"))
        elif not (in_solution or in_formula or NOT_READ.match(line)):
            yield line


def skip_block(lines: Iterator[str], fence: str) -> None:
    """Saute jusqu’à la fin d’un bloc."""
    for line in lines:
        if line.rstrip() == fence:
            return


def words_of(line: str) -> list[str]:
    """Les mots d’une ligne ; une formule dans le texte compte pour un."""
    line = re.sub(r"\{glue:text\}`[^`]*`|\$[^$]+\$", " x ", line)
    line = ROLE.sub(r" \1 ", line)
    line = re.sub(r"\]\([^)]*\)|<[^>]+>", " ", line)
    return [word for word in line.split() if re.search(r"\w", word)]


def main() -> int:
    """Imprime le tableau ; ce qui dépasse le budget est marqué « ! »."""
    print(f"{'':36s}" + "".join(f"{label:>16s}" for label in LABELS))
    for source in sorted(CHAPTERS.glob("*.md")):
        found = measure(source)
        cells = [
            f"{value}{' !' if value > getattr(LIMITS, field.name) else '  '}"
            for field in fields(Measure)
            for value in [getattr(found, field.name)]
        ]
        print(f"{source.stem:36s}" + "".join(f"{cell:>16s}" for cell in cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
