"""Chaque chapitre tient dans son budget, en Lecture, et chaque cellule a un rôle."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
from conftest import load_script
from site_visit import CHAPTERS, SOURCES

ROOT = Path(__file__).resolve().parent.parent
ROLES = {"teaching", "result", "plumbing", "check", "exercise"}
REPLACED = {
    "hide-input",
    "hide-output",
    "hide-cell",
    "remove-cell",
    "remove-input",
    "remove-output",
}
GLUE = "application/papermill.record/"
# Ce qui dépasse, dans les chapitres qui restent à réécrire. Un nombre ne peut que baisser ; une
# mesure revenue dans le budget quitte la liste.
DEBTS = {
    "08_affinage": {"longest": 24, "words_per_picture": 352, "screens": 21},
    "09_distillation": {"words": 3171, "longest": 33, "words_per_picture": 396, "screens": 23},
    "10_du_texte_a_la_distillation": {"words_per_picture": 455},
}

budget = load_script(ROOT / "book" / "budget.py")
chapters = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def complaints(found: dict[str, int], limits: dict[str, int], debts: dict[str, int]) -> list[str]:
    """Ce qui dépasse le budget sans dette, ce qui a grossi, et les dettes éteintes."""
    texts = []
    for name, value in found.items():
        limit, debt = limits[name], debts.get(name)
        if debt is None and value > limit:
            texts.append(f"{name} : {value}, pour {limit} au plus")
        elif debt is not None and value > debt:
            texts.append(f"{name} : {value}, la dette était de {debt} ; elle ne peut que baisser")
        elif debt is not None and value <= limit:
            texts.append(f"{name} : {value}, dans le budget ; ôtez cette dette")
    return texts


@chapters
def test_chapter_keeps_to_its_budget(source):
    debts = {k: v for k, v in DEBTS.get(source.stem, {}).items() if k != "screens"}
    found = asdict(budget.measure(source))
    assert complaints(found, asdict(budget.LIMITS), debts) == []


@pytest.mark.browser
@pytest.mark.parametrize("visit", CHAPTERS, indirect=True)
def test_page_is_at_most_twenty_screens_tall(visit):
    width, height = budget.SCREEN
    visit.show(width=width, height=height)
    screens = math.ceil(visit.page.evaluate("document.documentElement.scrollHeight") / height)
    debts = {k: v for k, v in DEBTS.get(visit.name, {}).items() if k == "screens"}
    assert complaints({"screens": screens}, {"screens": budget.MAX_SCREENS}, debts) == []


def test_debts_are_those_of_chapters():
    assert set(DEBTS) <= {source.stem for source in SOURCES}
    assert all(set(debts) <= {*asdict(budget.LIMITS), "screens"} for debts in DEBTS.values())


@pytest.mark.parametrize(
    ("found", "debt", "expected"),
    [
        (90, None, []),
        (101, None, ["words : 101, pour 100 au plus"]),
        (120, 120, []),
        (110, 120, []),
        (121, 120, ["words : 121, la dette était de 120 ; elle ne peut que baisser"]),
        (100, 120, ["words : 100, dans le budget ; ôtez cette dette"]),
    ],
)
def test_a_debt_can_only_shrink(found, debt, expected):
    debts = {} if debt is None else {"words": debt}
    assert complaints({"words": found}, {"words": 100}, debts) == expected


@chapters
def test_each_cell_has_one_role(source):
    wrong = [
        f"cellule {cell.index} : {', '.join(cell.tags) or 'aucune étiquette'}"
        for cell in budget.code_cells(source)
        if len(ROLES & set(cell.tags)) != 1 or REPLACED & set(cell.tags)
    ]
    assert wrong == []


@chapters
def test_a_solution_is_read_as_it_is(source):
    """Dans une solution, repliée déjà, tout le code paraît."""
    cells = [cell for cell in budget.code_cells(source) if cell.in_solution]
    assert [cell.index for cell in cells if not cell.has("teaching")] == []


@chapters
def test_each_role_keeps_its_promise(source):
    """Un résultat montre quelque chose, une vérification prouve quelque chose."""
    broken = []
    for cell in budget.code_cells(source):
        text = "".join(output.get("text", "") for output in cell.outputs)
        shown = [o for o in cell.outputs if not any(m.startswith(GLUE) for m in o.get("data", {}))]
        if cell.has("result") and not shown:
            broken.append(f"cellule {cell.index} : un résultat sans sortie")
        if cell.has("check") and not text.startswith("✓ ") and "\n✓ " not in text:
            broken.append(f"cellule {cell.index} : une vérification sans « ✓ »")
    assert broken == []


CHAPTER = """---
jupytext: {}
---

(ch-essai)=
# Deux mots

Voici {glue:text}`n` mots, $x + y$ et {ref}`un renvoi <ch-essai>`.

$$a + b$$

```python
x = 1
```

    python -m course_lib

````{exercise} Un titre
:label: ex

Faites ceci.
````

```{code-cell} ipython3
:tags: [exercise]

answer = ...

check(answer)
```

````{solution-start} ex
:class: dropdown
````

Cela ne compte pas.

```{code-cell} ipython3
:tags: [teaching]

answer = 1
```

````{solution-end}
````

Fin.
"""


def write(folder, text, outputs):
    """Un chapitre d’essai et son cahier ; `outputs` : les sorties de chaque cellule de code."""
    import jupytext
    import nbformat

    source = folder / "90_essai.md"
    source.write_text(text, "utf-8")
    notebook = jupytext.reads(text, "md:myst")
    for cell, found in zip(
        (c for c in notebook.cells if c.cell_type == "code"), outputs, strict=True
    ):
        cell.outputs = [nbformat.v4.new_output("display_data", found)] if found else []
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    return source


def test_prose_is_what_one_reads():
    lines = [line for line in budget.prose(CHAPTER) if line]
    assert lines == [
        "# Deux mots",
        "Voici {glue:text}`n` mots, $x + y$ et {ref}`un renvoi <ch-essai>`.",
        "Un titre",
        "Faites ceci.",
        "Fin.",
    ]
    assert budget.count_words(CHAPTER) == 2 + 7 + 2 + 2 + 1


def test_code_of_solutions_is_not_counted(tmp_path):
    source = write(tmp_path, CHAPTER, [{"image/png": ""}, {"image/png": ""}])
    assert asdict(budget.measure(source)) == {
        "words": 14,
        "lines": 2,
        "longest": 2,
        "words_per_picture": 14,
    }


@pytest.mark.parametrize(
    ("role", "output", "lines", "pictures"),
    [
        ("teaching", {}, 2, 0),
        ("result", {"image/svg+xml": "<svg/>"}, 0, 1),
        ("result", {"text/markdown": "```python\na = 1\n\nb = 2\nc = 3\n```"}, 3, 0),
        ("result", {"text/html": '<course-widget module="planner.js"><svg/>'}, 0, 1),
        ("result", {"text/html": '<course-widget module="quiz.js">'}, 0, 0),
        ("plumbing", {"image/png": ""}, 0, 0),
        ("check", {"image/png": ""}, 0, 0),
    ],
)
def test_what_a_cell_shows(tmp_path, role, output, lines, pictures):
    text = f"# A\n\n```{{code-cell}} ipython3\n:tags: [{role}]\n\na = 1\n\nprint(a)\n```\n"
    (cell,) = budget.code_cells(write(tmp_path, text, [output]))
    assert (budget.shown_lines(cell), budget.pictures(cell)) == (lines, pictures)


def test_a_chapter_never_executed_is_refused(tmp_path):
    source = tmp_path / "90_essai.md"
    source.write_text("# A\n", "utf-8")
    with pytest.raises(FileNotFoundError, match=r"90_essai\.ipynb n’existe pas : exécutez"):
        budget.measure(source)
