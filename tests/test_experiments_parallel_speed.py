"""La vitesse à plusieurs processus : ce qui est compté, le relevé livré, les rapports."""

import pytest
from parallel_workers import run_quickly

from course_experiments import parallel_speed
from course_experiments.parallel_speed import ALONE, SHAPES, Load
from course_lib.parallel import STRATEGIES


def test_speed_ups_are_ratios_of_medians():
    def runs(*rates):
        return {str(i): {"tokens_per_second": rate} for i, rate in enumerate(rates)}

    records = {"runs": {f"5M {ALONE}": runs(10, 90, 20)}}
    records["runs"] |= {f"5M {s}": runs(30, 1, 40 + i) for i, s in enumerate(STRATEGIES)}
    assert parallel_speed.speed_ups(records, "5M") == dict.fromkeys(STRATEGIES, 1.5)


@pytest.mark.slow
def test_a_measure_counts_the_bytes_of_the_formula(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(parallel_speed, "run_processes", run_quickly)
    load = Load(vocab_size=53, context_length=12, batch_size=2, n_steps=1)
    found = parallel_speed.run("500k", "ddp", load)
    assert found["sent_bytes"] == found["expected_bytes"] > 4 * found["parameters"] * 0.99
    assert found["tokens_per_second"] > 0


def test_shipped_measures_are_complete_and_honest():
    records = parallel_speed.load_results()
    for size in SHAPES:
        for strategy in (ALONE, *STRATEGIES):
            runs = records["runs"][f"{size} {strategy}"]
            assert len(runs) >= 3
            assert all(run["sent_bytes"] == run["expected_bytes"] for run in runs.values())


def test_missing_measures_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments\.parallel_speed"):
        parallel_speed.load_results(tmp_path / "parallel_speed.json")
