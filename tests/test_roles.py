"""Un petit livre, construit : ce que la page montre d’une cellule selon son rôle."""

import importlib
import io
import re
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = ROOT / "book" / "ext"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def code(tags, source="x = 1", *outputs):
    """Une cellule de code exécutée ; une sortie est un texte imprimé ou un dictionnaire MIME."""
    written = [
        nbformat.v4.new_output("stream", name="stdout", text=output)
        if isinstance(output, str)
        else nbformat.v4.new_output("display_data", output)
        for output in outputs
    ]
    metadata = {"tags": tags.split()}
    return nbformat.v4.new_code_cell(source, outputs=written, execution_count=1, metadata=metadata)


GLUED = {"application/papermill.record/text/plain": "'3'"}
BOOK = [
    "# Un chapitre",
    code("plumbing", "import torch"),
    code("plumbing", "keep('n', 3)", GLUED),
    "Un texte.",
    code("teaching", "def one():\n    return 1\n\n\nprint(one() + one())", "2\n"),
    code("check", "claim(a)", "✓ un\n✓ deux : trois\n"),
    "Entre les deux.",
    code("check nbval-check-output", "claim(b)", "✓ quatre\nune trace\n"),
    code("plumbing", "keep('m', 4)"),
    "Après.",
    "## Une section",
    code("result", "table(rows)", {"text/markdown": "**gras**"}),
    code("check", "claim(c)", "✓ cinq\n"),
    code("exercise", "answer = ...", "À vous\n"),
    "```python\ny = 2\n```",
]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Construit un livre d’un chapitre ; rend la page et ce que Sphinx a dit."""
    from sphinx.application import Sphinx

    sys.path.insert(0, str(EXTENSIONS))
    importlib.import_module("course_site.roles")

    def build_one(cells, builder="html"):
        folder = tmp_path_factory.mktemp("livre")
        made = [nbformat.v4.new_markdown_cell(c) if isinstance(c, str) else c for c in cells]
        metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
        notebook = nbformat.v4.new_notebook(cells=made, metadata=metadata)
        nbformat.write(notebook, folder / "index.ipynb")
        settings = {
            "extensions": ["myst_nb", "course_site.roles", "course_site.typography"],
            "nb_execution_mode": "off",
            "language": "fr",
        }
        warnings = io.StringIO()
        out = folder / "_build"
        app = Sphinx(
            folder, None, out, folder / "_trees", builder, settings, status=None, warning=warnings
        )
        app.build()
        suffix = {"html": "html", "text": "txt"}[builder]
        return (out / f"index.{suffix}").read_text("utf-8"), warnings.getvalue()

    yield build_one
    sys.path.remove(str(EXTENSIONS))


@pytest.fixture(scope="module")
def page(build):
    """La page du petit livre, sans avertissement propre au cours."""
    html, warnings = build(BOOK)
    assert "rôle" not in warnings and "check" not in warnings
    return BeautifulSoup(html, "html.parser").find("section")


def text_of(node) -> str:
    return re.sub(r"\s+", " ", node.get_text()).strip()


def test_teaching_and_exercise_are_shown_whole(page):
    for tag in ("tag_teaching", "tag_exercise"):
        (cell,) = page.select(f".{tag}")
        assert cell.find_parent("details") is None and not cell.select("details")
        assert cell.select_one(".cell_input") and cell.select_one(".cell_output")


def test_a_result_folds_its_code_and_shows_its_outputs(page):
    (cell,) = page.select(".tag_result")
    (fold,) = cell.select("details")
    assert not fold.has_attr("open")
    assert text_of(fold.summary) == "Code de ce résultat"
    assert fold.select_one(".cell_input") and not fold.select(".cell_output")
    assert cell.select_one(":scope > .cell_output strong").text == "gras"


def test_neighbouring_plumbing_makes_one_handle(page):
    first, second = page.select("details.role-plumbing")
    assert len(first.select(".tag_plumbing")) == 2 and len(second.select(".tag_plumbing")) == 1
    assert text_of(first.summary) == "Code de préparation"
    assert not page.select(".tag_plumbing .cell_output")  # un nombre gardé ne se montre pas


def test_checks_of_a_section_gather_where_the_last_one_is(page):
    first, second = page.select("details.role-check")
    assert text_of(first.summary) == "✓ 3 vérifications"
    assert text_of(second.summary) == "✓ 1 vérification"
    assert [text_of(item) for item in first.select("li")] == ["un", "deux : trois", "quatre"]
    assert first.find("li").find_next("li").get_text().strip() == "deux\u00a0: trois"
    codes = [text_of(cell) for cell in first.select(".cell_input")]
    assert codes == ["claim(a)", "claim(b)"]
    assert text_of(first.find_previous("p")) != "Après."
    assert text_of(first.find_previous_sibling("p")) == "Entre les deux."
    assert second.find_parent("section")["id"] == "une-section"


def test_only_proofs_leave_the_outputs_of_a_check(page):
    (kept,) = page.select("details.role-check .cell_output")
    assert "une trace" in kept.text


def test_each_line_of_code_can_fold(page):
    (cell,) = page.select(".tag_teaching")
    lines = [span.text.rstrip("\n") for span in cell.select(".cell_input pre > span[id]")]
    assert lines == ["def one():", "    return 1", "", "print(one() + one())"], "un seul blanc"
    ids = [span["id"] for span in page.select("pre > span[id]")]
    assert len(ids) == len(set(ids))
    (block,) = [p for p in page.select("pre") if "y = 2" in p.text]
    assert not block.select("span[id]") and block.find_parent("details") is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("nbval-ignore-output", "Cellule 1 : aucun rôle. Donnez-lui exactement une"),
        ("teaching check", "Cellule 1 : rôles teaching, check. Donnez-lui exactement une"),
        ("check", "Cellule 1 : une cellule « check » affiche au moins une ligne « ✓ … »"),
    ],
)
def test_a_wrong_role_is_a_warning(build, tags, expected):
    assert expected in build(["# A", code(tags)])[1]


def test_paper_shows_what_lecture_shows(build):
    text, _ = build(BOOK, "text")
    for shown in ("print(one() + one())", "gras", "answer = ...", "Après."):
        assert shown in text
    for folded in ("import torch", "claim", "table(rows)", "vérification"):
        assert folded not in text
