"""Les règles de la maison : des étages, des modules courts, des textes de présentation vrais."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "course_lib"
EXPERIMENTS = ROOT / "course_experiments"
# Du rez-de-chaussée au toit : on n’importe que vers le bas, ou sans tourner en rond à son étage.
FLOORS = {
    "typography": 0,
    "files": 0,
    "arguments": 0,
    "extras": 0,
    "corpora": 0,
    "tokenization": 0,
    "cleaning": 0,
    "retrieval": 0,
    "ngram": 1,
    "recurrent": 1,
    "transformer": 1,
    "training": 2,
    "generation": 2,
    "parallel": 3,
    "acceleration": 3,
    "scaling": 3,
    "evaluation": 3,
    "pretrained": 3,
    "finetuning": 3,
    "distillation": 4,
    "preferences": 4,
    "interpretation": 4,
    "pruning": 4,
    "footprint": 4,
    "rounding": 4,
    "models": 5,
    "figures": 5,
    "widgets": 5,
    "checks": 5,
    "notebook": 5,
    "exercises": 6,
    "commands": 6,
}
MODULES = sorted(LIBRARY.rglob("*.py"))
EXPERIMENT_MODULES = sorted(EXPERIMENTS.rglob("*.py"))


def room_of(path: Path) -> str:
    """Le module ou le paquet de premier niveau auquel appartient un fichier."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    """Les modules de `course_lib` qu’un code importe, où que soit l’instruction."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("course_lib.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(LIBRARY).as_posix())
def test_a_module_knows_its_room(path):
    source, room = path.read_text(encoding="utf-8"), room_of(path)
    assert len(source.splitlines()) <= 300, "plus de 300 lignes : est-ce bien un seul sujet ?"
    assert ast.get_docstring(ast.parse(source)), "un module se présente en une phrase"
    if room == "__init__" or path.name == "__main__.py":  # une porte d’entrée voit toute la maison
        return
    for other in imported_rooms(source) - {room}:
        assert FLOORS[other] <= FLOORS[room], f"{room} importe {other}, d'un étage au-dessus"


def test_no_two_rooms_import_each_other():
    """Un tri topologique des pièces existe ; sinon CycleError, qui nomme le cercle."""
    graph = {room: set() for room in FLOORS}
    for path in MODULES:
        if path.name != "__main__.py" and room_of(path) in FLOORS:
            room = room_of(path)
            graph[room] |= imported_rooms(path.read_text(encoding="utf-8")) - {room}
    order = list(TopologicalSorter(graph).static_order())
    assert sorted(order) == sorted(FLOORS)


def test_the_library_ignores_the_experiments():
    """`course_experiments` est à côté : la bibliothèque s’installe et marche sans elles."""
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("course_experiments"), path
            elif isinstance(node, ast.Import):
                assert not any(a.name.startswith("course_experiments") for a in node.names), path


def test_the_import_reader_sees_every_form():
    source = "import course_lib.ngram\nfrom course_lib import checks\ndef f():\n" + (
        "    from course_lib.figures.maps import delta_map\n"
    )
    assert imported_rooms(source) == {"ngram", "checks", "figures"}


@pytest.mark.parametrize("page", ["README.md", "book/_toc.yml"])
def test_every_chapter_is_announced(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    chapters = sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb"))
    assert chapters
    for chapter in chapters:
        assert chapter in text, f"{page} ne cite pas {chapter}"


def test_the_floors_are_drawn_as_they_are():
    """Le tableau des étages de CONTRIBUTING.md est celui que ce fichier vérifie."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*) \|$", page, re.MULTILINE)
    drawn = {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}
    assert drawn == FLOORS
