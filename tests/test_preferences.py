"""DPO et GRPO : les pertes de trl, un apprentissage qui va où la note le mène, des refus clairs.

`trl_reference.json` : des log-probabilités tirées au sort, et ce que `DPOTrainer.dpo_loss`
(trl 0.24.0) et `GRPOTrainer._compute_loss` (trl 1.16.0) en font ; trl n’est pas installé ici.
"""

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.preferences import (
    DPOLoss,
    GRPOLoss,
    Preference,
    PreferenceBatches,
    RewardedTexts,
    dpo_loss,
    group_advantages,
    grpo_loss,
    target_log_probs,
)
from course_lib.training import IGNORE, TrainingConfig, train
from course_lib.transformer import LlamaConfig, llama

REFERENCE = json.loads((Path(__file__).parent / "trl_reference.json").read_text("utf-8"))
BOS, EOS = 1, 2


def tiny(seed: int = 0):
    return llama(LlamaConfig(13, 24, 20, 1, 2, d_ff=29), seed).eval()


def tensors(content: dict) -> dict:
    return {name: torch.tensor(v) for name, v in content.items() if isinstance(v, list)}


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_dpo_is_that_of_trl(beta):
    given = tensors(REFERENCE["dpo"])
    ours = dpo_loss(
        given["chosen"] - given["reference_chosen"],
        given["rejected"] - given["reference_rejected"],
        beta,
    )
    expected = torch.tensor(REFERENCE["dpo"]["losses"][str(beta)])
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_grpo_is_that_of_trl(beta):
    given = tensors(REFERENCE["grpo"])
    ours = grpo_loss(
        given["log_probs"],
        given["drawn"],
        given["reference"],
        given["advantages"],
        given["written"].bool(),
        beta,
    )
    assert float(ours) == pytest.approx(REFERENCE["grpo"]["losses"][str(beta)], abs=1e-5)


@given(st.lists(st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=1, max_size=5))
def test_advantages_are_centred_and_ignore_what_a_group_shares(rewards):
    rewards = torch.tensor(rewards, dtype=torch.float64)
    advantages = group_advantages(rewards)
    assert advantages.sum(1).abs().max() < 1e-6
    torch.testing.assert_close(group_advantages(rewards + 7.0), advantages, atol=1e-6, rtol=1e-6)
    equal = (rewards == rewards[:, :1]).all(1)
    assert (advantages[equal] == 0).all()


def test_the_log_probability_of_an_answer_is_that_of_its_tokens():
    model = tiny()
    inputs, targets = torch.tensor([[1, 5, 7, 3]]), torch.tensor([[IGNORE, 7, 3, EOS]])
    with torch.no_grad():
        found = target_log_probs(model, inputs, targets)
        expected = model(inputs).log_softmax(-1)[0]
    assert found[0, 0] == 0
    for place, token in ((1, 7), (2, 3), (3, EOS)):
        assert float(found[0, place]) == pytest.approx(float(expected[place, token]), abs=1e-6)


PAIRS = [Preference([BOS, a], [5, EOS], [6, 7, EOS]) for a in (3, 4, 8, 9, 10)]


@torch.no_grad()
def margin(model, pairs=PAIRS) -> float:
    """De combien la réponse préférée l’emporte, en moyenne, en nats."""
    batch = next(PreferenceBatches(pairs, len(pairs)).in_order())
    better, worse = (target_log_probs(model, *batch[i : i + 2]).sum(1) for i in (0, 2))
    return float((better - worse).mean())


def test_dpo_starts_at_log_two_and_widens_the_margin():
    model = tiny()
    reference = copy.deepcopy(model)
    loss = DPOLoss(reference, beta=0.5)
    batch = next(PreferenceBatches(PAIRS, 5).in_order())
    with torch.no_grad():
        value, n_pairs = loss(model, batch)
    assert n_pairs == 5 and float(value) == pytest.approx(0.6931472, abs=1e-6)
    before, kept = margin(model), copy.deepcopy(reference.state_dict())
    train(model, PreferenceBatches(PAIRS, 5), TrainingConfig(40, 3e-3), loss=loss, progress=False)
    assert margin(model) > before + 1
    assert all(torch.equal(kept[name], value) for name, value in reference.state_dict().items())


def test_a_smaller_batch_gives_the_same_gradient():
    model = tiny()
    loss = DPOLoss(copy.deepcopy(tiny(1)), beta=0.3)
    batch = next(PreferenceBatches(PAIRS, 5).in_order())
    with torch.no_grad():
        whole, _ = loss(model, batch)
        parts = [loss(model, tuple(t[i : i + 1] for t in batch))[0] for i in range(5)]
    assert float(torch.stack(parts).mean()) == pytest.approx(float(whole), abs=1e-6)


def likes_seven(prompt, ids) -> float:
    return ids.count(7) / len(ids)


def test_a_policy_learns_what_is_rewarded():
    """À vingt graines : de 0,02 à 0,13 au départ, de 0,36 à 0,82 à la fin."""
    model = tiny()
    data = RewardedTexts(
        model, likes_seven, [[BOS]], max_new_tokens=8, n_groups=2, group_size=8, seed=3
    )
    first = data.batch(0)
    before = float(data.last_rewards.mean())
    assert first[0].shape == first[1].shape and first[2].shape == (16,)
    config = TrainingConfig(60, 5e-3, weight_decay=0.0, seed=3)
    train(model, data, config, loss=GRPOLoss(), progress=False)
    data.batch(10_000)
    assert before < 0.2 and float(data.last_rewards.mean()) > 0.25


def test_groups_share_their_prompt_and_depend_on_step_and_seed_only():
    def batch(seed, step):
        model = tiny()
        prompts = [[BOS, 3], [BOS, 4], [BOS, 5]]
        return RewardedTexts(
            model, likes_seven, prompts, max_new_tokens=5, n_groups=2, group_size=3, seed=seed
        ).batch(step)

    inputs, targets, advantages = batch(0, 7)
    assert (inputs[:3, :2] == inputs[0, :2]).all() and (targets[:, 0] == IGNORE).all()
    assert all(torch.equal(a, b) for a, b in zip(batch(0, 7), batch(0, 7), strict=True))
    assert not torch.equal(inputs, batch(1, 7)[0]) or not torch.equal(targets, batch(1, 7)[1])
    torch.testing.assert_close(advantages.view(2, 3).sum(1), torch.zeros(2), atol=1e-5, rtol=0)


@torch.no_grad()
def test_drift_is_charged():
    model, reference = tiny(), tiny(1)
    data = RewardedTexts(model, lambda *_: 1.0, [[BOS]], max_new_tokens=6, group_size=4)
    batch = data.batch(0)  # notes toutes égales : il ne reste que l’écart à la référence
    assert float(GRPOLoss()(model, batch)[0]) == pytest.approx(0.0, abs=1e-6)
    charged, n_texts = GRPOLoss(reference, beta=0.5)(model, batch)
    assert n_texts == 16 and float(charged) > 0
    assert float(GRPOLoss(copy.deepcopy(model), beta=0.5)(model, batch)[0]) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (lambda: DPOLoss(tiny(), beta=0), "beta = 0 : il faut un nombre positif"),
        (lambda: GRPOLoss(beta=-1), "beta = -1"),
        (lambda: GRPOLoss(beta=0.1), "retient le modèle près d’une référence"),
        (lambda: group_advantages(torch.ones(3, 1)), r"\(3, 1\).*deux textes par groupe"),
        (lambda: PreferenceBatches([Preference([1], [5], [5])], 1), "La paire n° 0 a deux fois"),
        (lambda: PreferenceBatches([Preference([1], [5], [])], 1), "0 de réponse"),
        (lambda: RewardedTexts(tiny(), likes_seven, [], max_new_tokens=3), "Aucune amorce"),
        (
            lambda: RewardedTexts(tiny(), likes_seven, [[1]], max_new_tokens=3, group_size=1),
            "group_size = 1 : il faut au moins 2",
        ),
        (
            lambda: RewardedTexts(tiny(), lambda *_: float("nan"), [[1]], max_new_tokens=3).batch(
                0
            ),
            "Une note vaut nan",
        ),
        (
            lambda: next(
                iter(RewardedTexts(tiny(), likes_seven, [[1]], max_new_tokens=3).in_order())
            ),
            "au fil de l’entraînement",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(action, told):
    with pytest.raises(ValueError, match=told):
        action()


def test_a_model_is_not_its_own_reference():
    model, batch = tiny(), next(PreferenceBatches(PAIRS, 5).in_order())
    with pytest.raises(ValueError, match=r"même objet.*copy\.deepcopy"):
        DPOLoss(model)(model, batch)
    other = llama(LlamaConfig(17, 24, 20, 1, 2, d_ff=29), 0)
    with pytest.raises(ValueError, match="13 jetons, sa référence 17"):
        DPOLoss(other)(model, batch)
