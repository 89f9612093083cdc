"""Le modèle qui grandit : chaque étape n’ajoute qu’une pièce, et le relevé tient sa promesse."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from course_experiments import growing_model as growing
from course_lib.transformer import Attention, Block, FeedForward, count_parameters

SETTINGS = growing.Settings()
SMALL = replace(SETTINGS, held_out_stories=4, batch_size=2, steps={"court": 3, "long": 4})


@pytest.fixture(scope="module")
def ids():
    """Deux suites d’identifiants."""
    return torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stage", growing.STAGES)
def test_every_stage_gives_a_score_to_every_word_and_reads_only_the_past(stage, ids):
    torch.manual_seed(0)
    model = growing.build(stage, 50, SETTINGS)
    scores = model(ids)
    assert scores.shape == (2, 12, 50)
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 50
    assert torch.allclose(model(changed)[:, :7], scores[:, :7], atol=1e-5)
    reads_more = not torch.allclose(
        model(torch.cat((ids[:, :1].add(1) % 50, ids[:, 1:]), 1))[:, -1], scores[:, -1], atol=1e-6
    )
    assert reads_more == (stage != "bigramme")  # le bigramme ne voit que le dernier mot


def test_only_positions_tell_the_order_of_the_past(ids):
    swapped = ids[:, [1, 0, *range(2, 12)]]
    for stage in growing.STAGES:
        torch.manual_seed(0)
        model = growing.build(stage, 50, SETTINGS)
        same = torch.allclose(model(swapped)[:, -1], model(ids)[:, -1], atol=1e-5)
        assert same == (growing.STAGES.index(stage) < growing.STAGES.index("positions")), stage


def test_each_stage_keeps_what_the_last_one_had():
    counts = [count_parameters(growing.build(s, 50, SETTINGS)) for s in growing.STAGES]
    width = SETTINGS.d_model
    added = (after - before for before, after in pairwise(counts))
    steps = dict(zip(growing.STAGES[1:], added, strict=True))
    block = Block(
        Attention(width, 4, bias=False, output_bias=True),
        FeedForward(width, 4 * width),
        lambda: nn.LayerNorm(width),
    )
    assert steps == {
        "attention": 3 * width**2,
        "résidu": 0,
        "positions": 0,
        "têtes": width**2 + width,
        "réseau": 8 * width**2 + 5 * width,
        "norme": 3 * 2 * width,
        "deux blocs": count_parameters(block),
    }


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match=r"Étape inconnue : 'étage'\. Choisissez parmi bigramme"):
        growing.build("étage", 50, SETTINGS)


@pytest.mark.slow
def test_a_measure_is_the_same_twice():
    first, again = (growing.measure("têtes court", 1, SMALL) for _ in range(2))
    assert first == again and first["kl"] > 0
    assert growing.measure("têtes court", 2, SMALL) != first


def test_the_record_has_three_seeds_of_every_stage():
    runs = growing.EXPERIMENT.load()["runs"]
    for name in (*growing.names("court"), *growing.names("long")):
        assert {"0", "1", "2"} <= set(runs[name])
        assert len({run["parameters"] for run in runs[name].values()}) == 1
