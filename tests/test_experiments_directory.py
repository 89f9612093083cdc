"""L’annuaire : des faits sans règle, des bits comptés à la main, un relevé qui reprend."""

import json
import math
from dataclasses import replace

import pytest
import torch

from course_experiments import directory
from course_lib.training.data import IGNORE

SMALL = directory.Directory(n_first_names=7, n_last_names=5, n_cities=3, passes=2, batch_size=5)


def test_every_pair_has_one_city_and_every_id_is_its_own():
    facts = directory.draw_facts(SMALL, seed=0)
    assert facts.shape == (35, 3)
    assert len({tuple(pair) for pair in facts[:, :2].tolist()}) == 35
    columns = [set(column.tolist()) for column in facts.T]
    assert columns[0] == set(range(7)) and columns[1] == set(range(7, 12))
    assert columns[2] <= set(range(12, SMALL.vocab_size)) and SMALL.vocab_size == 15
    assert not torch.equal(facts, directory.draw_facts(SMALL, seed=1))


def test_a_pass_reads_each_fact_once_and_asks_only_for_the_city():
    facts = directory.draw_facts(SMALL, seed=0)
    data = directory.FactBatches(facts, SMALL.batch_size, seed=3)
    batches = [data.batch(step) for step in range(data.steps_per_pass)]
    read = torch.cat([torch.cat((x, y[:, 1:]), dim=1) for x, y in batches])
    assert sorted(read.tolist()) == facts.tolist()
    assert all((targets[:, 0] == IGNORE).all() for _, targets in batches)
    again = data.batch(2)
    assert all(torch.equal(a, b) for a, b in zip(batches[2], again, strict=True))
    assert not torch.equal(data.batch(data.steps_per_pass)[0], batches[0][0])


class Oracle(torch.nn.Module):
    """Donne à la bonne ville un score de plus que les autres, parmi les seules villes."""

    def __init__(self, facts, gap):
        super().__init__()
        self.facts, self.gap = facts, gap
        self.unused = torch.nn.Parameter(torch.zeros(17))

    def forward(self, ids):
        scores = torch.full((*ids.shape, SMALL.vocab_size), -torch.inf)
        scores[..., 12:] = 0.0
        scores[:, -1].scatter_(1, self.facts[:, 2:], self.gap)
        return scores


@pytest.mark.parametrize("gap", [0.0, math.log(2), 50.0])
def test_bits_are_those_of_the_definition(gap):
    """À égalité, rien n’est retenu ; avec certitude, log₂ 3 bits par fait."""
    facts = directory.draw_facts(SMALL, seed=0)
    measured = directory.recall(Oracle(facts, gap), facts, SMALL)
    q = math.exp(gap) / (math.exp(gap) + 2)
    assert measured["bits"] == pytest.approx(35 * (math.log2(3) + math.log2(q)), abs=1e-4)
    assert measured["bits_per_parameter"] == pytest.approx(measured["bits"] / 17)
    if gap:
        assert measured["recalled"] == 1.0
    assert SMALL.total_bits == pytest.approx(35 * math.log2(3))


def test_measures_resume_and_forget_when_the_settings_change(tmp_path, monkeypatch):
    path = tmp_path / "relevé.json"
    small = replace(directory.EXPERIMENT, settings=SMALL, names=["8", "12"])
    assert small.run([0], path) == 2
    assert list(small.load(path)["runs"]) == ["8", "12"]
    monkeypatch.setattr(directory, "run", lambda *_, **__: pytest.fail("déjà mesuré"))
    assert small.run([0], path) == 0
    content = json.loads(path.read_text("utf-8"))
    content["settings"]["passes"] = 99
    path.write_text(json.dumps(content), "utf-8")
    monkeypatch.setattr(directory, "run", lambda *_, **__: (None, {"bits": 0.0}))
    assert replace(small, names=["8"]).run([0], path) == 1
    assert small.load(path)["runs"] == {"8": {"0": {"bits": 0.0}}}


def test_three_seeds_of_each_width_are_shipped():
    shipped = directory.load_results()["runs"]
    assert [int(width) for width in shipped] == list(directory.WIDTHS)
    assert all(sorted(seeds) == ["0", "1", "2"] for seeds in shipped.values())
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments\.absent"):
        directory.load_results(directory.EXPERIMENT.path.with_name("absent.json"))
