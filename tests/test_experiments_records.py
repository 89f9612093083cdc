"""Le relevé : on y ajoute, on n’y refait rien, on n’y mêle pas deux réglages."""

import pytest

from course_lib.experiments.records import Records, load_records, rounded


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
    with pytest.raises(FileNotFoundError, match=r"python -m course_lib.experiments.energy"):
        load_records(tmp_path / "energy.json")


def test_rounding_goes_everywhere():
    measures = {"a": 0.123456, "b": [(1, 0.5)], "c": True, "d": None, "e": "x"}
    assert rounded(measures, 2) == {"a": 0.12, "b": [[1, 0.5]], "c": True, "d": None, "e": "x"}
