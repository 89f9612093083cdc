"""Les huit tailles : ce qui change de l’une à l’autre, et les mesures livrées."""

from dataclasses import asdict

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


def trial(rate, kl, width=16):
    return {"setting": {"d_model": width, "learning_rate": rate}, "kl": kl}


def test_the_search_goes_on_while_the_best_rate_is_at_the_edge():
    assert [s.learning_rate for s in size_sweep.first_trials([64])] == [0.002, 0.004, 0.008]
    rising = [trial(0.01, 9), trial(0.02, 7), trial(0.04, 5), trial(0.08, 1, width=8)]
    assert size_sweep.next_trial(16, rising).learning_rate == pytest.approx(0.08)
    assert size_sweep.next_trial(16, [*rising[:2], trial(0.04, 8)]) is None
    falling = [trial(0.01, 2), trial(0.02, 7), trial(0.04, 8)]
    assert size_sweep.next_trial(16, falling).learning_rate == pytest.approx(0.005)
    endless = [trial(2**-rank, rank) for rank in range(size_sweep.MAX_TRIALS)]
    assert size_sweep.next_trial(16, endless) is None


@pytest.mark.parametrize("width", size_sweep.WIDTHS)
def test_the_shipped_rate_is_the_best_tried(width):
    """Le taux de la table est celui des essais livrés, et il n’est pas au bord."""
    trials = size_sweep.load_results()["tuning"]
    mine = [t for t in trials if t["setting"]["d_model"] == width]
    best = min(mine, key=lambda t: t["kl"])
    assert best["setting"]["learning_rate"] == size_sweep.BEST_RATES[width]
    assert size_sweep.next_trial(width, trials) is None


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_three_seeds_of_each_width_are_shipped(setting):
    runs = [r for r in size_sweep.load_results()["runs"] if r["setting"]["name"] == setting.name]
    assert sorted(r["seed"] for r in runs) == [0, 1, 2]
    assert all(r["setting"]["learning_rate"] == setting.learning_rate for r in runs)
