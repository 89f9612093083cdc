"""Le relevé : on y ajoute, on n’y refait rien, on n’y mêle pas deux réglages."""

import ast
import json
import runpy
import sys
from argparse import Namespace
from pathlib import Path

import pytest

import course_experiments as experiments
from course_experiments.__main__ import commands
from course_experiments.records import (
    Records,
    experiment_parser,
    load_records,
    measure_command,
    refuse_seeds,
    rounded,
)
from course_lib.training import TrainingInterrupted


def test_records_keep_what_is_done(tmp_path):
    kept = Records(tmp_path / "dossier" / "a.json", {"sizes": (1, 2)})
    assert kept.missing(["x", "y"], [0, 1]) == [("x", 0), ("y", 0), ("x", 1), ("y", 1)]
    kept.add("x", 0, {"value": 0.5})
    kept.add("y", 1, {"value": 0.7})
    assert kept.missing(iter(["x", "y"]), [0, 1]) == [("y", 0), ("x", 1)]
    assert load_records(kept.path)["runs"] == {
        "x": {"0": {"value": 0.5}},
        "y": {"1": {"value": 0.7}},
    }
    assert set(load_records(kept.path)["libraries"]) == {"torch", "numpy"}
    assert [p.name for p in kept.path.parent.iterdir()] == ["a.json"]


def test_other_settings_start_afresh(tmp_path):
    path = tmp_path / "a.json"
    Records(path, {"size": 1}).add("x", 0, {})
    assert Records(path, {"size": 1}).missing(["x"], [0]) == []
    assert Records(path, {"size": 2}).missing(["x"], [0]) == [("x", 0)]


def test_an_absent_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments.energy"):
        load_records(tmp_path / "energy.json")


def test_rounding_goes_everywhere():
    measures = {"a": 0.123456, "b": [(1, 0.5)], "c": True, "d": None, "e": "x"}
    assert rounded(measures, 2) == {"a": 0.12, "b": [[1, 0.5]], "c": True, "d": None, "e": "x"}


def test_a_command_says_what_it_did(tmp_path, capsys):
    path = tmp_path / "neuf" / "a.json"
    options, calls = Namespace(output=path, force=False), []

    def action():
        kept = Records(path, {"size": 1})
        kept.complete(["x", "y"], [0, 0], lambda name, seed: calls.append(name) or {"v": 1.0})

    assert measure_command(options, action) == 0
    assert calls == ["x", "y"]
    assert "2 mesures ajoutées à «" in capsys.readouterr().out
    assert measure_command(options, action) == 0
    told = capsys.readouterr().out
    assert "Rien à mesurer" in told and str(path) in told and calls == ["x", "y"]
    options.force = True
    before = path.read_text("utf-8")
    assert measure_command(options, action) == 0
    assert "gardées dans" in capsys.readouterr().out and len(calls) == 4
    assert path.with_name("a.ancien-1.json").read_text("utf-8") == before


def test_other_settings_do_not_erase_what_was_measured(tmp_path, capsys):
    path = tmp_path / "a.json"
    Records(path, {"size": 1}).add("x", 0, {"v": 1})
    Records(path, {"size": 2}).add("x", 0, {"v": 2})
    assert load_records(tmp_path / "a.ancien-1.json")["runs"]["x"]["0"] == {"v": 1}
    assert load_records(path)["runs"]["x"]["0"] == {"v": 2}
    assert "gardées dans" in capsys.readouterr().out


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), TrainingInterrupted(3, None, None)])
def test_control_c_ends_in_one_line(tmp_path, capsys, stop):
    def action():
        raise stop

    options = Namespace(output=tmp_path / "a.json", force=False)
    assert measure_command(options, action) == 130
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Interrompu. Ce qui est mesuré est dans")


def test_a_damaged_record_is_not_replaced(tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text("{", "utf-8")
    options = Namespace(output=path, force=False)
    assert measure_command(options, lambda: Records(path, {}).add("x", 0, {})) == 2
    assert "est abîmé" in capsys.readouterr().err and path.read_text("utf-8") == "{"


def test_an_ignored_option_is_refused(tmp_path, capsys):
    parser = experiment_parser(tmp_path / "a.json", "Essai.")
    refuse_seeds(parser, parser.parse_args([]))
    with pytest.raises(SystemExit):
        refuse_seeds(parser, parser.parse_args(["--seeds", "7"]))
    assert "ôtez --seeds" in capsys.readouterr().err


def test_every_module_is_a_command_or_says_it_is_not(monkeypatch):
    folder = Path(experiments.__file__).parent
    paths = [path for path in folder.rglob("*.py") if path.name != "__init__.py"]
    assert len(paths) > 25
    for path in paths:
        last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
        assert isinstance(last, ast.If) and "__main__" in ast.unparse(last.test), path.name
    assert {"bias", "pronoun", "base_model"} <= set(commands())
    assert not {"records", "classroom", "audience_measures"} & set(commands())
    monkeypatch.delitem(sys.modules, "course_experiments.classroom", raising=False)
    with pytest.raises(SystemExit, match="n’est pas une commande"):
        runpy.run_module("course_experiments.classroom", run_name="__main__")


def test_a_model_already_written_is_not_replaced_unasked(tmp_path, capsys):
    from course_experiments import base_model as command
    from course_lib.models.shipped import WEIGHTS

    (tmp_path / WEIGHTS).write_text(json.dumps("à moi"))
    assert command.main(["--stories", "8", "--output", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert json.loads((tmp_path / WEIGHTS).read_text()) == "à moi"
