"""La page de la bibliothèque : ce qu’elle lit du code, et ce qu’elle n’oublie pas."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
from conftest import load_script
from test_house import FLOORS

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "course_lib"


@pytest.fixture(scope="module")
def reader():
    return load_script(ROOT / "book" / "ext" / "course_site" / "docstrings.py")


@pytest.fixture(scope="module")
def api():
    """Le module de la directive ; Sphinx met `book/ext` sur le chemin, et nous aussi."""
    sys.path.insert(0, str(ROOT / "book" / "ext"))
    try:
        return importlib.import_module("course_site.api")
    finally:
        sys.path.pop(0)


def test_every_room_is_shown_or_set_aside(api):
    assert sorted([*api.ROOMS, *api.NOT_SHOWN]) == sorted(FLOORS)


def test_every_name_shown_says_what_it_is(api, reader):
    """Chaque nom public a une docstring : sans elle, la page n’en donnerait que la signature."""
    for room in api.ROOMS:
        found = reader.read_room(LIBRARY, room)
        assert found.text and (found.entries or found.constants), room
        assert [entry.name for entry in found.entries if not entry.text] == []


def test_the_page_agrees_with_the_real_functions(reader):
    """Les signatures lues dans le code sont celles que Python connaît, argument par argument."""
    from course_lib import generation, training

    for module in (generation, training):
        room = reader.read_room(LIBRARY, module.__name__.split(".")[1])
        functions = [e for e in room.entries if inspect.isfunction(getattr(module, e.name))]
        assert len(functions) > 4
        for entry in functions:
            known = list(inspect.signature(getattr(module, entry.name)).parameters)
            read = ast.parse(f"def {entry.signature}: ...").body[0].args
            names = [*read.posonlyargs, *read.args, *filter(None, [read.vararg]), *read.kwonlyargs]
            names += filter(None, [read.kwarg])
            assert [argument.arg for argument in names] == known
            assert entry.text == inspect.getdoc(getattr(module, entry.name))


def test_a_long_signature_takes_one_line_by_argument(reader, tmp_path):
    (tmp_path / "piece.py").write_text(
        '"""Une pièce."""\n'
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Mesure:\n"
        '    """Une mesure."""\n    valeur: float\n    unité: str = "s"\n'
        "    @property\n    def double(self) -> float:\n"
        '        """Deux fois."""\n'
        "    def _cachée(self): ...\n"
        "    def muette(self): ...\n"
        "def courte(a, /, b=1, *rest, c: int = 2, **k) -> int:\n"
        '    """Courte."""\n'
        f"def longue({', '.join(f'argument_{i}: int = {i}' for i in range(7))}):\n"
        '    """Longue."""\n',
        "utf-8",
    )
    room = reader.read_room(tmp_path, "piece")
    mesure, courte, longue = room.entries
    assert mesure.signature == "class Mesure(valeur: float, unité: str = 's')"
    assert [(m.signature, m.text) for m in mesure.members] == [("double -> float", "Deux fois.")]
    assert courte.signature == "courte(a, b=1, *rest, c: int = 2, **k) -> int"
    assert longue.signature.splitlines()[:2] == ["longue(", "    argument_0: int = 0,"]


def test_an_announced_name_that_does_not_exist_is_an_error(reader, tmp_path):
    (tmp_path / "piece.py").write_text('"""Une pièce."""\n__all__ = ["absent"]\n', "utf-8")
    with pytest.raises(ValueError, match="« absent », qu’annonce"):
        reader.read_room(tmp_path, "piece")


def test_a_docstring_becomes_paragraphs_lists_and_aligned_texts(api):
    text = (
        "Le but :\nen deux lignes, avec `du code`.\n\n    y = x + 1\n    z = 2\n\n"
        "- un\n- deux,\n  encore\n\nnom_a      ce que c’est\nnom_b      et l’autre\nFin."
    )
    kinds = [(type(node).__name__, node.astext()) for node in api.blocks(text)]
    assert kinds == [
        ("paragraph", "Le but : en deux lignes, avec du code."),
        ("literal_block", "y = x + 1\nz = 2"),
        ("bullet_list", "un\n\ndeux, encore"),
        ("literal_block", "nom_a      ce que c’est\nnom_b      et l’autre"),
        ("paragraph", "Fin."),
    ]


def test_the_ten_names_lead_to_their_section(api, reader):
    import course_lib

    page = (ROOT / "book" / "api.md").read_text("utf-8")
    links = dict(re.findall(r"\[`(\w+)`\]\(#(api-[\w-]+)\)", page))
    assert links == {name: f"api-{room}-{name}" for name, room in course_lib._HOMES.items()}
    for name, room in course_lib._HOMES.items():
        assert name in [entry.name for entry in reader.read_room(LIBRARY, room).entries]
