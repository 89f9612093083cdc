"""Les huit tailles : ce qui change de l’une à l’autre."""

from dataclasses import asdict

from course_lib.experiments import size_sweep
from course_lib.experiments.model_families import build_model
from course_lib.transformer import count_parameters


def test_only_width_heads_and_rate_change():
    settings = [asdict(size_sweep.setting_for(width)) for width in size_sweep.WIDTHS]
    free = {"name", "d_model", "n_heads", "learning_rate"}
    for name in {field for field in settings[0]} - free:
        assert len({str(setting[name]) for setting in settings}) == 1, name


def test_every_width_can_be_built_and_grows():
    sizes = [
        count_parameters(build_model(size_sweep.setting_for(width), 620, seed=0))
        for width in size_sweep.WIDTHS
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 30 * sizes[0]


def test_wider_means_smaller_steps():
    rates = [size_sweep.learning_rate_for(width) for width in size_sweep.WIDTHS]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1e-2
