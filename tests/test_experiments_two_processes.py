"""Deux processus et un seul : mêmes poids, mêmes pertes, et les octets des formules.

En double précision. Les sommes ne se font pas dans le même ordre, et AdamW grossit cet arrondi là
où un gradient est presque nul : en cinq pas, sur dix graines, les poids s’écartent de 5e-5 en
simple précision, et de 5e-14 en double.
"""

import pytest
import torch
from parallel_workers import run_quickly

from course_experiments import two_processes as lab
from course_lib.parallel import STRATEGIES

ATOL64 = 1e-10


@pytest.fixture(scope="module")
def trained():
    """Cinq pas, seul puis à deux, de toutes les façons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        patch.setattr(lab, "run_processes", run_quickly)
        return lab.compare(5, torch.float64)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_get_the_weights_and_losses_of_one(trained, strategy):
    alone, both = trained
    assert len(both) == lab.N_WORKERS
    for result in both:
        torch.testing.assert_close(result[strategy].weights, alone.weights, rtol=0, atol=ATOL64)
        assert result[strategy].losses == pytest.approx(alone.losses, abs=ATOL64)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_exchanges_are_those_of_the_formulas(trained, strategy):
    _, both = trained
    for result in both:
        payload = dict(result[strategy].payload)
        assert payload.pop("broadcast") == 8 * result[strategy].weights.numel()
        assert payload == lab.expected_payload(strategy, 5, torch.float64)


@pytest.mark.slow
def test_alone_nothing_is_exchanged_and_the_loss_falls(trained):
    alone, _ = trained
    assert alone.payload == {} and alone.calls == {}
    losses = lab.train_once(None).losses
    assert len(losses) == lab.N_STEPS and losses[-1] < losses[0] - 0.1


def test_the_command_reports_every_strategy(trained, monkeypatch, capsys):
    monkeypatch.setattr(lab, "compare", lambda n_steps: trained)
    assert lab.main(["--steps", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all("ko échangés" in line for line in lines)
