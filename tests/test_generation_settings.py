"""Le tableau d’équivalences du chapitre 3 : chaque nom qu’il donne existe là où il le dit."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest
import transformers

from course_lib import generation

PAGE = Path(__file__).parent.parent / "chapters" / "03_generation.md"
HEADER = "| réglage | ce cours | `transformers` |"


def columns() -> list[list[str]]:
    """Les noms entre accents graves de chaque case, ligne par ligne, sans leur valeur."""
    text = PAGE.read_text("utf-8")
    lines = text[text.index(HEADER) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [[re.findall(r"`([\w-]+)", cell) for cell in row] for row in cells]


def test_the_table_is_found():
    assert len(columns()) >= 8 and all(len(row) == 5 for row in columns())


@pytest.mark.parametrize("names", [row[1] for row in columns()], ids=str)
def test_our_settings_exist(names):
    ours = {field.name for field in fields(generation.SamplingConfig)}
    ours |= set(inspect.signature(generation.generate).parameters) | set(generation.__all__)
    assert set(names) <= ours


@pytest.mark.parametrize("names", [row[2] for row in columns()], ids=str)
def test_those_of_transformers_exist(names):
    known = vars(transformers.GenerationConfig())
    assert names and all(name in known or hasattr(transformers, name) for name in names)


def test_transformers_refuses_a_temperature_of_zero():
    """D’où `do_sample=False` dans le tableau."""
    with pytest.raises(ValueError, match="do_sample=False"):
        transformers.TemperatureLogitsWarper(0.0)
