"""Les cellules que le lecteur remplit : courtes, sans réponse, chacune avec juge et solution."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from test_exercises import ANNEXES, CHAPTERS

from course_lib.exercises import use_limits

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "chapters").glob("0*_*.md"))
WITH_EXERCISES = [*SOURCES, ROOT / "chapters" / "annexe_decodage.md"]
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r"\A(?:---\n.*?\n---\n|(?::\w+:[^\n]*\n)*)", re.DOTALL)
LONGEST = 6


def cells_of(text: str) -> list[tuple[str, list[str]]]:
    """Le code et les étiquettes de chaque cellule d’un texte MyST."""
    found = []
    for body in CELL.findall(text):
        header = HEADER.match(body)[0]
        tags = re.search(r"tags: *\[(.*?)\]", header)
        names = [tag.strip() for tag in tags[1].split(",")] if tags else []
        found.append((body[len(header) :].strip(), names))
    return found


def parts(source: Path) -> list[str]:
    """Les exercices d’un chapitre, de leur énoncé à la fin de leur solution."""
    text = source.read_text("utf-8")
    return re.findall(r"^`{3,}\{exercise\}.*?\{solution-end\}", text, re.MULTILINE | re.DOTALL)


def is_harmless(node: ast.stmt) -> bool:
    """Une ligne qui ne dit rien : `nom = ...`, un gabarit de fonction, l’appel du juge."""
    match node:
        case ast.Assign(targets=[ast.Name()], value=ast.Constant(value=value)):
            return value is ...
        case ast.FunctionDef(body=[ast.Return(value=ast.Constant(value=value))]):
            return value is ...
        case ast.FunctionDef(
            body=[
                ast.Expr(value=ast.Constant(value=str())),
                ast.Return(value=ast.Constant(value=value)),
            ]
        ):
            return value is ...
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Name(id="exercises")), args=[given], keywords=[]
            )
        ):
            names = given.elts if isinstance(given, ast.Tuple) else [given]
            return all(isinstance(name, ast.Name) for name in names)
    return False


def judged(code: str) -> set[str]:
    """Les exercices que nomme un code."""
    return set(re.findall(r"\bexercises\.(\w+)\(", code))


@pytest.mark.parametrize("source", WITH_EXERCISES, ids=lambda path: path.stem)
def test_an_exercise_cell_holds_no_answer(source):
    cells = [code for part in parts(source) for code, tags in cells_of(part) if "exercise" in tags]
    assert cells, "aucune cellule à remplir"
    for code in cells:
        assert [ast.unparse(n) for n in ast.parse(code).body if not is_harmless(n)] == []
        assert len(code.splitlines()) <= LONGEST, code
        assert len(judged(code)) == 1, code


@pytest.mark.parametrize("source", WITH_EXERCISES, ids=lambda path: path.stem)
def test_each_exercise_has_one_cell_and_a_solution_for_the_same_judge(source):
    for part in parts(source):
        filled = [code for code, tags in cells_of(part) if "exercise" in tags]
        solved = "\n".join(c for c, tags in cells_of(part) if "exercise" not in tags)
        assert len(filled) == 1, part[:60]
        assert judged(filled[0]) == judged(solved), part[:60]
        label = re.search(r":label: (\S+)", part)[1]
        assert f"{{solution-start}} {label}\n:class: dropdown" in part


def test_every_exercise_of_the_library_is_in_its_chapter():
    for source, name in zip(WITH_EXERCISES, (*CHAPTERS, *ANNEXES), strict=True):
        module = importlib.import_module(f"course_lib.exercises.{name}")
        text = source.read_text("utf-8")
        assert f"from course_lib.exercises import {name} as exercises" in text, source.name
        known = {n for n, e in vars(module).items() if type(e).__name__ == "Exercise"}
        assert set().union(*(judged(part) for part in parts(source))) == known, source.name


def test_the_statement_gives_the_sentences_that_are_judged():
    part = next(p for p in parts(SOURCES[6]) if "exercises.own_calibration" in p)
    assert re.findall(r"^\d+\. (.*)$", part, re.MULTILINE) == [s for s, _ in use_limits.STATEMENTS]


@pytest.mark.parametrize(
    "code",
    [
        "answer = 4\nexercises.perplexity(answer)",
        "answer = ...\nexpected = sum(range(20, 120))\nexercises.count_block(answer)",
        "exercises.ring(24)",
        "answer = ...\nexercises.ring(answer, 24)",
        "def f(x):\n    return 2 * x\n\n\nexercises.f(f)",
        "def f(x):\n    return ...\n\n\nexercises.f(f, [((1,), 2)])",
        "CASES = [((1,), 2)]",
    ],
)
def test_a_cell_that_tells_is_seen(code):
    """La règle elle-même est mise à l’épreuve : chacune de ces cellules dit quelque chose."""
    assert not all(is_harmless(node) for node in ast.parse(code).body)
