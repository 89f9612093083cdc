"""Les huit tailles : ce qui change de l’une à l’autre, et les mesures livrées."""

from dataclasses import asdict, replace

import pytest

from course_experiments import size_sweep
from course_experiments.model_families import build_model
from course_lib.transformer import count_parameters

SETTINGS = [size_sweep.setting_for(width) for width in size_sweep.WIDTHS]


def test_only_width_heads_and_rate_change():
    free = {"name", "d_model", "n_heads", "learning_rate"}
    for name in asdict(SETTINGS[0]).keys() - free:
        assert len({str(asdict(setting)[name]) for setting in SETTINGS}) == 1, name


def test_every_width_can_be_built_and_grows():
    sizes = [count_parameters(build_model(setting, 620, seed=0)) for setting in SETTINGS]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 30 * sizes[0]


def test_the_search_goes_on_while_the_best_rate_is_at_the_edge():
    assert [s.learning_rate for s in size_sweep.first_trials([64])] == [0.002, 0.004, 0.008]
    rising = {0.01: 9, 0.02: 7, 0.04: 5}
    assert size_sweep.next_trial(16, rising).learning_rate == pytest.approx(0.08)
    assert size_sweep.next_trial(16, rising | {0.04: 8}) is None
    falling = {0.01: 2, 0.02: 7, 0.04: 8}
    assert size_sweep.next_trial(16, falling).learning_rate == pytest.approx(0.005)
    endless = {2**-rank: rank for rank in range(size_sweep.MAX_TRIALS)}
    assert size_sweep.next_trial(16, endless) is None


def test_the_next_trials_follow_those_that_are_done():
    first = [f"largeur 64 taux {rate:g}" for rate in (0.002, 0.004, 0.008)]
    assert size_sweep.trials_wanted({}, [64]) == first

    def done(kl, rate):
        return {"0": {"setting": {"learning_rate": rate}, "kl": kl}}

    runs = {name: done(9 - rank, 0.002 * 2**rank) for rank, name in enumerate(first)}
    assert size_sweep.trials_wanted(runs, [64]) == [*first, "largeur 64 taux 0.016"]


def test_the_budgets_share_one_record(tmp_path, capsys):
    path = tmp_path / "mesures.json"
    sweep = size_sweep.Sweep({"court": 24, "long": 48}, held_out_stories=3)
    tiny = replace(size_sweep.EXPERIMENT, settings=sweep)
    command = ["--seeds", "1", "--widths", "8", "--output", str(path)]
    assert tiny.main(command) == tiny.main([*command, "--budget", "long"]) == 0
    runs = tiny.load(path)["runs"]
    assert list(runs) == ["oracle", "largeur 8 court", "largeur 8 long"]
    court, long = runs["largeur 8 court"]["1"], runs["largeur 8 long"]["1"]
    assert court["setting"]["learning_rate"] == 2 * long["setting"]["learning_rate"]
    assert court["tokens"] < long["tokens"]
    assert tiny.main(["--tuning", "--budget", "long", "--output", str(path)]) == 2
    assert "ôtez --budget" in capsys.readouterr().err


@pytest.mark.parametrize("width", size_sweep.WIDTHS)
def test_the_shipped_rate_is_the_best_tried(width):
    """Le taux de la table est celui des essais livrés, et il n’est pas au bord."""
    scores = size_sweep.trial_scores(size_sweep.load_results()["runs"], width)
    assert len(scores) >= 3
    assert min(scores, key=scores.get) == size_sweep.BEST_RATES[width]
    assert size_sweep.next_trial(width, scores) is None


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_three_seeds_of_each_width_are_shipped(setting):
    runs = size_sweep.load_results()["runs"][f"{setting.name} court"]
    assert sorted(runs) == ["0", "1", "2"]
    assert all(r["setting"]["learning_rate"] == setting.learning_rate for r in runs.values())
