"""Le relevé et la commande : on y ajoute, on n’y refait rien, on n’y mêle pas deux réglages."""

import ast
import importlib
import json
import runpy
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import torch

import course_experiments as experiments
from course_experiments.__main__ import commands
from course_experiments.experiment import Experiment
from course_experiments.records import Records, load_records, rounded
from course_lib.training import TrainingInterrupted


@dataclass(frozen=True)
class Settings:
    size: int = 1


@pytest.fixture
def toy():
    """Une expérience de deux noms, et la liste de ce qu’elle a mesuré."""
    calls = []

    def measure(name, seed, settings):
        calls.append((name, seed))
        return {"v": settings.size / 3}

    experiment = Experiment("a", "Essai.", Settings(), ["x", "y"], measure, seeds=[0])
    return experiment, calls


def test_records_keep_what_is_done(tmp_path):
    kept = Records(tmp_path / "dossier" / "a.json", {"sizes": (1, 2)})
    kept.add("x", 0, {"value": 0.5})
    kept.add("y", 1, {"value": 0.7})
    assert load_records(kept.path)["runs"] == {
        "x": {"0": {"value": 0.5}},
        "y": {"1": {"value": 0.7}},
    }
    assert set(load_records(kept.path)["libraries"]) == {"torch", "numpy"}
    assert [p.name for p in kept.path.parent.iterdir()] == ["a.json"]


def test_what_is_missing_comes_seed_after_seed(tmp_path, toy):
    path, (experiment, _) = tmp_path / "a.json", toy
    assert experiment.missing([0, 1, 0], path) == [("x", 0), ("y", 0), ("x", 1), ("y", 1)]
    Records(path, {"size": 1}).add("x", 0, {})
    Records(path, {"size": 1}).add("y", 1, {})
    assert experiment.missing(iter([0, 1]), path) == [("y", 0), ("x", 1)]
    alone = replace(experiment, once=["z"])
    assert alone.missing([1], path) == [("z", 0), ("x", 1)]
    other = replace(experiment, settings=Settings(2))
    assert other.missing([0], path) == [("x", 0), ("y", 0)]


def test_an_absent_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments.energy"):
        load_records(tmp_path / "energy.json")


def test_rounding_goes_everywhere():
    measures = {"a": 0.123456, "b": [(1, 0.5)], "c": True, "d": None, "e": "x"}
    assert rounded(measures, 2) == {"a": 0.12, "b": [[1, 0.5]], "c": True, "d": None, "e": "x"}


def test_a_command_says_what_it_did(tmp_path, toy, capsys):
    path, (experiment, calls) = tmp_path / "neuf" / "a.json", toy
    command = ["--output", str(path)]
    assert experiment.main([*command, "--seeds", "0", "0"]) == 0
    assert calls == [("x", 0), ("y", 0)]
    assert load_records(path)["runs"]["x"]["0"] == {"v": 0.3333}
    assert "2 mesures ajoutées à «" in capsys.readouterr().out
    assert experiment.main(command) == 0
    told = capsys.readouterr().out
    assert "Rien à mesurer" in told and str(path) in told and len(calls) == 2
    before = path.read_text("utf-8")
    assert experiment.main([*command, "--force"]) == 0
    assert "gardées dans" in capsys.readouterr().out and len(calls) == 4
    assert path.with_name("a.ancien-1.json").read_text("utf-8") == before


def test_the_help_is_in_french_and_names_the_command(toy, capsys):
    experiment = replace(toy[0], seeds=(0, 1), seeds_option=("--repeats", "répétitions"))
    with pytest.raises(SystemExit, match="0"):
        experiment.main(["--help"])
    told = capsys.readouterr().out
    assert "python -m course_experiments.a" in told and "Essai." in told
    assert "--repeats" in told and "répétitions (0 1)" in told and "a.json du cours" in told


def test_other_settings_do_not_erase_what_was_measured(tmp_path, toy, capsys):
    path, (experiment, _) = tmp_path / "a.json", toy
    experiment.run([0], path)
    replace(experiment, settings=Settings(2)).run([0], path)
    assert load_records(tmp_path / "a.ancien-1.json")["runs"]["x"]["0"] == {"v": 0.3333}
    assert load_records(path)["runs"]["x"]["0"] == {"v": 0.6667}
    assert "gardées dans" in capsys.readouterr().out


def test_two_commands_share_the_work(tmp_path, toy):
    """Ce qu’une autre commande écrit pendant une mesure n’est ni refait, ni perdu."""
    path, (experiment, calls) = tmp_path / "a.json", toy

    def measure(name, seed, settings):
        calls.append(name)
        if name == "x":
            Records(path, {"size": 1}).add("y", 0, {"v": "l’autre"})
        return {"v": 1}

    assert replace(experiment, measure=measure).run([0], path) == 1
    assert calls == ["x"]
    runs = load_records(path)["runs"]
    assert runs == {"y": {"0": {"v": "l’autre"}}, "x": {"0": {"v": 1}}}


def test_a_lost_product_is_made_again_by_seed_zero(tmp_path, toy):
    product, path, (experiment, calls) = tmp_path / "poids", tmp_path / "a.json", toy
    experiment = replace(experiment, products={"x": product})
    experiment.run([0, 1], path)
    experiment.run([0, 1], path)
    assert calls == [("x", 0), ("y", 0), ("x", 1), ("y", 1), ("x", 0)]
    product.touch()
    assert experiment.missing([0, 1], path) == []


def test_tuning_looks_at_what_it_has_found(tmp_path, toy, capsys):
    path, (experiment, calls) = tmp_path / "a.json", toy

    def trials(runs):
        return ["taux 1"] if not runs else ["taux 1", "taux 2"]

    experiment = replace(experiment, tuning=trials)
    assert experiment.main(["--tuning", "--output", str(path)]) == 0
    assert calls == [("taux 1", 0), ("taux 2", 0)]
    with pytest.raises(SystemExit):
        experiment.main(["--tuning", "--seeds", "7"])
    assert "ôtez --seeds" in capsys.readouterr().err


def test_threads_are_those_of_the_experiment_then_given_back(tmp_path, toy):
    seen, before = [], torch.get_num_threads()
    experiment = replace(
        toy[0], n_threads=before + 1, measure=lambda *_: seen.append(torch.get_num_threads()) or {}
    )
    experiment.run([0], tmp_path / "a.json")
    assert seen == [before + 1] * 2 and torch.get_num_threads() == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), TrainingInterrupted(3, None, None)])
def test_control_c_ends_in_one_line(tmp_path, toy, capsys, stop):
    def measure(name, seed, settings):
        raise stop

    experiment = replace(toy[0], measure=measure)
    assert experiment.main(["--output", str(tmp_path / "a.json")]) == 130
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("Interrompu. Ce qui est mesuré est dans")
    assert not any("Traceback" in line for line in lines)


def test_a_damaged_record_is_not_replaced(tmp_path, toy, capsys):
    path = tmp_path / "a.json"
    path.write_text("{", "utf-8")
    assert toy[0].main(["--output", str(path)]) == 2
    assert "est abîmé" in capsys.readouterr().err and path.read_text("utf-8") == "{"


def test_every_module_is_a_command_or_says_it_is_not(monkeypatch):
    folder = Path(experiments.__file__).parent
    paths = [path for path in folder.rglob("*.py") if path.name != "__init__.py"]
    assert len(paths) > 25
    for path in paths:
        last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
        assert isinstance(last, ast.If) and "__main__" in ast.unparse(last.test), path.name
    assert {"bias", "pronoun", "base_model"} <= set(commands())
    assert not {"records", "experiment", "classroom", "audience_measures"} & set(commands())
    monkeypatch.delitem(sys.modules, "course_experiments.classroom", raising=False)
    with pytest.raises(SystemExit, match="n’est pas une commande"):
        runpy.run_module("course_experiments.classroom", run_name="__main__")


# Ces commandes-là n’écrivent pas de relevé : des modèles, des textes, ou quelques lignes à l’écran.
RECIPE = {"romancier.corpus", "romancier.training"}
MEASURED = sorted(set(commands()) - {"base_model", "limits_models", "two_processes"} - RECIPE)


def experiment_of(name: str) -> Experiment:
    """L’expérience que déclare un module."""
    place = f"{name}.__main__" if name == "pronoun" else name
    return importlib.import_module(f"course_experiments.{place}").EXPERIMENT


@pytest.mark.parametrize("name", MEASURED)
def test_every_shipped_record_has_the_one_format(name):
    experiment = experiment_of(name)
    content = experiment.load()
    assert experiment.name == name and list(content) == ["settings", "libraries", "runs"]
    for runs in content["runs"].values():
        assert all(seed.isdigit() and measures for seed, measures in runs.items())


@pytest.mark.parametrize("name", MEASURED)
def test_shipped_measures_match_the_command(name):
    """Mêmes réglages, et rien à refaire aux graines que l’on annonce ; sinon : les refaire."""
    experiment = experiment_of(name)
    if name == "layer_dropping":  # livré plus court, par --texts 200 --steps 60
        shorter = replace(experiment.settings, n_texts=200, n_steps=60)
        experiment = replace(experiment, settings=shorter)
    settings = json.loads(json.dumps(asdict(experiment.settings)))
    assert settings == experiment.load()["settings"], "les réglages ont changé"
    seeds = range(3) if name == "pronoun" else experiment.seeds  # deux réseaux en ont trois
    assert experiment.missing(seeds) == []
    assert experiment.tuning is None or experiment.missing([0], tuning=True) == []


def test_a_model_already_written_is_not_replaced_unasked(tmp_path, capsys):
    from course_experiments import base_model as command
    from course_lib.models.shipped import WEIGHTS

    (tmp_path / WEIGHTS).write_text(json.dumps("à moi"))
    assert command.main(["--stories", "8", "--output", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert json.loads((tmp_path / WEIGHTS).read_text()) == "à moi"
