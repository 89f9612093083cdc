"""Les chapitres : source et cahier d’accord, tout est exécuté, rien de fragile n’est comparé."""

import json
import re
from pathlib import Path

import pytest
from conftest import load_script

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "chapters").glob("*.md"))

DECISIONS = {"nbval-ignore-output", "nbval-check-output"}
DECIMAL = re.compile(r"(?<![\w.])\d+[.,]\d+(?![\w.]*\.)")
COMPARED = ("text/plain", "application/papermill.record/text/plain")


@pytest.fixture(scope="module")
def execute():
    """Le script qui exécute les chapitres ; son chargement est long."""
    return load_script(ROOT / "book" / "execute.py")


def code_cells(source: Path):
    """Les cellules de code du cahier exécuté, avec leur rang."""
    import nbformat  # cinq secondes : seul ce fichier les paie, à l’exécution

    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def compared_text(cell) -> str:
    """Le texte de sortie que nbval comparerait."""
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts += [str(output.get("data", {}).get(mime, "")) for mime in COMPARED]
    return "\n".join(texts)


def test_there_are_chapters():
    assert [source.stem for source in SOURCES][:2] == ["00_jetons_et_modeles", "01_transformer"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_agrees_with_source_and_is_executed(execute, source):
    assert execute.disagreements(source, source.with_suffix(".ipynb")) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_fragile_outputs_are_tagged(source):
    """Un nombre à virgule dépend de la machine : l’auteur dit s’il faut le comparer."""
    undecided = [
        f"cellule {index} : {DECIMAL.search(compared_text(cell))[0]}"
        for index, cell in code_cells(source)
        if DECIMAL.search(compared_text(cell))
        and not DECISIONS & set(cell.metadata.get("tags", []))
    ]
    assert undecided == [], f"Ajoutez l'une des étiquettes {sorted(DECISIONS)}."


# Ce que le lecteur lit : textes, tableaux ; ni le code montré, ni les données d’un composant.
POINT = re.compile(r"(?<![\w./-])[-−]?\d+\.\d+(?![\w.-]|/\w)")
CODE = re.compile(r"```.*?```|`[^`]*`|^\w+\([^\n]*=.*\)$", re.DOTALL | re.MULTILINE)
READ = ("text/markdown", "text/plain")


def read_text(output) -> str:
    """Ce qu’une sortie donne à lire, sans le code qu’elle cite."""
    data = output.get("data", {})
    if "text/html" in data:  # un composant : ses tests le lisent dans un navigateur
        return ""
    shown = next((data[mime] for mime in READ if mime in data), "")
    return CODE.sub("", output.get("text", "") or shown)


def english_numbers(text: str) -> list[str]:
    """Les lignes qui montrent un nombre à point décimal, ou un tenseur brut."""
    return [line for line in text.splitlines() if POINT.search(line) or "tensor(" in line]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_outputs_write_their_numbers_in_french(source):
    guilty = {
        index: lines
        for index, cell in code_cells(source)
        if (lines := english_numbers("\n".join(map(read_text, cell.outputs))))
    }
    assert guilty == {}, "Écrivez ces nombres par format_number."


@pytest.mark.parametrize(
    ("text", "guilty"),
    [
        ("entropie : 54.2 nats", True),
        ("[8.0, 1.0]", True),
        ("tensor([[0, 1]])", True),
        ("54,2 nats, 1 234,5", False),
        ("torch 2.9.1, licence apache-2.0, blk.0.attn", False),
        ("Config(d_model=576, theta=100000.0)", False),
        ("le `0.5` de la page 3.", False),
    ],
)
def test_a_decimal_point_is_seen(text, guilty):
    assert bool(english_numbers(read_text({"text": text}))) == guilty


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_trailing_semicolon(source):
    """nbval refuse en mode strict une cellule dont le « ; » final cache la sortie."""
    guilty = [i for i, cell in code_cells(source) if cell.source.rstrip().endswith(";")]
    assert guilty == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_images_have_alternative_text(source):
    """Chaque cellule qui montre une image porte `mystnb.image.alt`."""
    silent = [
        index
        for index, cell in code_cells(source)
        if any(
            "image/png" in o.get("data", {}) or "image/svg+xml" in o.get("data", {})
            for o in cell.outputs
        )
        and not cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    ]
    assert silent == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_keeps_nothing_volatile(source):
    text = source.with_suffix(".ipynb").read_text("utf-8")
    assert "widgets" not in json.loads(text)["metadata"]
    assert '"iopub.' not in text and '"execution": {' not in text


def write_chapter(folder: Path, body: str) -> Path:
    """Écrit un chapitre d’essai, en-tête comprise."""
    header = (
        "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n"
        "kernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
    )
    path = folder / "90_essai.md"
    path.write_text(header + body, "utf-8")
    return path


@pytest.mark.slow
def test_execution_is_reproducible_and_atomic(execute, tmp_path):
    body = "# Essai\n\n```{code-cell} ipython3\nprint(hash('x'))\n{1, 2}\n```\n"
    source = write_chapter(tmp_path, body)
    target = source.with_suffix(".ipynb")
    assert "n'existe pas" in execute.disagreements(source, target)[0]
    execute.execute(source, target)
    first = target.read_bytes()
    assert execute.disagreements(source, target) == []
    execute.execute(source, target)
    assert target.read_bytes() == first

    write_chapter(tmp_path, body.replace("print", "raise ValueError #"))
    assert "source diffère" in execute.disagreements(source, target)[0]
    with pytest.raises(execute.CellExecutionError):
        execute.execute(source, target)
    assert target.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["90_essai.ipynb", "90_essai.md"]


def test_a_change_of_prose_keeps_the_outputs(execute, tmp_path, monkeypatch, capsys):
    body = "# Essai\n\n```{code-cell} ipython3\nprint(hash('x'))\n```\n"
    source = write_chapter(tmp_path, body)
    target = source.with_suffix(".ipynb")
    monkeypatch.setattr(execute, "CHAPTERS", tmp_path)
    assert execute.main([]) == 0
    outputs = code_cells(source)[0][1].outputs
    monkeypatch.setattr(execute, "execute", lambda *_: pytest.fail("rien n'était à exécuter"))
    write_chapter(tmp_path, body + "\nUn mot de plus.\n\n## Et un titre\n")
    assert execute.main([]) == 0
    assert "seule la prose a changé" in capsys.readouterr().out
    assert execute.disagreements(source, target) == []
    assert code_cells(source)[0][1].outputs == outputs

    write_chapter(tmp_path, body.replace("'x'", "'y'"))
    before = target.read_bytes()
    assert not execute.refresh(source, target)
    assert target.read_bytes() == before


def test_unknown_chapter_is_refused(execute):
    with pytest.raises(FileNotFoundError, match="Chapitre inconnu : 99_rien"):
        execute.select_sources(["99_rien"])


def test_a_broken_cell_header_is_explained(execute, tmp_path):
    source = tmp_path / "09_essai.md"
    source.write_text(
        "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n---\n\n"
        "```{code-cell} ipython3\n---\nlegende: un : deux\n---\n1 + 1\n```\n",
        encoding="utf-8",
    )
    with pytest.raises(
        ValueError, match=r"09_essai\.md : l’en-tête d’une cellule n’est pas du YAML"
    ):
        execute.read_source(source)
