"""Le petit LLM refait par Muon : l’expérience de bout en bout, et les cinq graines livrées."""

from dataclasses import replace

import pytest

from course_experiments import base_model_muon as lab
from course_lib.models.shipped import load_training_record

TINY = lab.Plan(n_stories=24, n_validation=3, n_test=5)
SKILLS = ("name", "object", "place", "thief", "agreement", "emotion", "wish", "home")


@pytest.mark.slow
def test_the_experiment_end_to_end(tmp_path):
    tiny = replace(lab.EXPERIMENT, settings=TINY)
    output = tmp_path / "mesures.json"
    assert tiny.main(["--seeds", "4", "--output", str(output)]) == 0
    run = tiny.load(output)["runs"]["muon"]["4"]
    assert run["training"]["optimizer"] == "muon" and run["training"]["muon_rate_ratio"] == 3
    assert run["training"]["n_steps"] == run["curve"][-1]["step"] == 3
    assert run["test"]["stories"] == 5 and set(run["test"]["skills"]) == set(SKILLS)


def test_shipped_seeds_differ_from_the_shipped_model_by_the_optimizer_only():
    shipped = load_training_record()
    runs = lab.load_results()["runs"]["muon"]
    changed = {"optimizer", "muon_rate_ratio", "device", "dtype", "accumulate", "compile", "seed"}
    for seed, run in runs.items():
        assert run["training"]["seed"] == int(seed)
        for name in shipped["training"].keys() - changed:
            assert run["training"][name] == shipped["training"][name], name
        assert run["test"]["entropy"] == shipped["test"]["entropy"]  # le même jeu de test
        assert run["test"]["stories"] == shipped["test"]["stories"]
        assert set(run["test"]["skills"]) == set(SKILLS)
