"""Les outils des cahiers : nombres cités, tableaux, codes montrés."""

import sys

import pytest

from course_lib import notebook


@pytest.fixture
def glued(monkeypatch):
    """Ce que les cahiers ont gardé, {nom: texte}."""
    kept = {}
    monkeypatch.setattr(
        "myst_nb.glue", lambda name, text, display: kept.__setitem__(name, text), raising=False
    )
    return kept


def test_numbers_are_kept_in_french(glued):
    notebook.keep("a", 1234.5, 1)
    notebook.keep("b", "tel quel")
    notebook.keep_range("c", (ratio for ratio in (0.5, 0.25, 1)))
    assert glued == {
        "a": "1\u202f234,5",
        "b": "tel quel",
        "c-bas": "25\u00a0%",
        "c-haut": "100\u00a0%",
    }


def test_nothing_is_kept_out_of_the_book(monkeypatch):
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    notebook.keep("a", 1)


def test_spans():
    assert notebook.span([46.12, 44.8, 45]) == "44,8 à 46,1"
    assert notebook.span(iter([2.04, 2.01])) == "2,0"
    assert notebook.span_percent([0.231, 0.279]) == "23 à 28\u00a0%"
    assert notebook.span_percent([0.231, 0.234]) == "23\u00a0%"


def test_the_source_shown_is_the_source():
    shown = notebook.show_source(notebook.show_text, notebook.span).data
    assert shown.startswith("```python\ndef show_text(") and shown.endswith("\n```")
    assert "def span(" in shown


def test_text_is_folded(capsys):
    notebook.show_text("un mot " * 30, 20)
    assert all(len(line) <= 20 for line in capsys.readouterr().out.splitlines())


def test_a_text_of_a_notebook_folds_with_the_page(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    notebook.show_text("a < b, " * 30, 20)
    (data,) = shown
    assert data["text/html"].count("a &lt; b,") == 30 and "\n" not in data["text/html"]
    assert max(map(len, data["text/plain"].splitlines())) <= 20


def test_a_long_text_opens_on_demand(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    notebook.show_text("un mot", summary="3 < 4 pages")
    (data,) = shown
    assert data["text/html"].startswith("<details><summary>3 &lt; 4 pages</summary><pre")
    assert data["text/html"].endswith("un mot</pre></details>") and data["text/plain"] == "un mot"


def test_a_table_is_aligned_and_whole():
    lines = notebook.table(["nom", "n"], [["a", "1"], ["b", "2"]]).data.splitlines()
    assert lines == ["| nom | n |", "| --- | --: |", "| a | 1 |", "| b | 2 |"]
    with pytest.raises(ValueError, match=r"Ligne 2 : 1 case\(s\) pour 2 colonnes"):
        notebook.table(["nom", "n"], [["a", "1"], ["b"]])
