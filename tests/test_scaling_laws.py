"""Les lois d’échelle : ce que l’ajustement retrouve, ce qu’il avoue ignorer, Chinchilla."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from course_lib.scaling import chinchilla
from course_lib.scaling.laws import fit_power_law

X = np.repeat(np.geomspace(1e3, 1e7, 8), 3)


def noisy(law, seed, spread=0.02):
    return law * np.exp(spread * np.random.default_rng(seed).standard_normal(len(law)))


def test_recovers_exact_laws():
    fit = fit_power_law(X, 7 * X**-0.31)
    assert (fit.scale, fit.exponent) == pytest.approx((7, 0.31))
    fit = fit_power_law(X, 1.7 + 40 * X**-0.37, floor=True)
    assert (fit.scale, fit.exponent, fit.floor) == pytest.approx((40, 0.37, 1.7), rel=1e-4)
    assert fit.identifiable and not fit.message
    assert fit.predict([1e5])[0, 0] == pytest.approx(1.7 + 40 * 1e5**-0.37, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("floor", [False, True])
def test_intervals_cover_the_truth(floor):
    exponent, bottom = 0.37, 1.7 if floor else 0.0
    truth = bottom + 40 * X**-exponent
    at = bottom + 40 * 3e8**-exponent
    covered = np.zeros(2)
    n_trials = 300
    for seed in range(n_trials):
        fit = fit_power_law(X, noisy(truth, seed), floor=floor)
        low, high = fit.exponent_interval
        _, bottom_low, bottom_high = fit.predict(3e8)[0]
        covered += [low <= exponent <= high, bottom_low <= at <= bottom_high]
    # 95 % attendus ; l’écart-type de la fréquence sur 300 essais est de 1,3 point.
    assert (covered / n_trials >= 0.90).all() and (covered / n_trials <= 0.99).all()


@pytest.mark.slow
@pytest.mark.parametrize("floor", [False, True])
def test_a_flat_series_is_not_identifiable(floor):
    flagged = sum(
        not fit_power_law(X, noisy(np.full(len(X), 2.0), seed), floor=floor).identifiable
        for seed in range(40)
    )
    assert flagged >= 34  # un test à 95 % se trompe parfois


def test_a_floor_out_of_sight_is_said():
    fit = fit_power_law(X, noisy(1e-4 + 40 * X**-0.37, 1, 0.05), floor=True)
    assert not fit.identifiable and "plancher n’est pas identifiable" in fit.message


def test_bad_measures_are_refused():
    with pytest.raises(ValueError, match="finis et strictement positifs"):
        fit_power_law([1, 2, 3, 4], [1, 0, 1, 1])
    with pytest.raises(ValueError, match="3 valeurs de x distinctes pour 3 paramètres"):
        fit_power_law([1, 2, 3, 3], [4, 3, 2, 2], floor=True)
    with pytest.raises(ValueError, match="même longueur"):
        fit_power_law([1, 2, 3], [4, 3])
    with pytest.raises(ValueError, match="level = 95"):
        fit_power_law([1, 2, 3], [4, 3, 2], level=95)
    with pytest.raises(ValueError, match="x strictement positifs"):
        fit_power_law([1, 2, 3], [4, 3, 2]).predict(0)


@pytest.mark.parametrize("compute", [1e18, 5.76e23, 1e27])
def test_the_closed_form_is_the_minimum(compute):
    plan = chinchilla.optimal(compute)
    found = minimize_scalar(
        lambda n: chinchilla.loss(np.exp(n), compute / 6 / np.exp(n)),
        bounds=(np.log(plan.parameters) - 5, np.log(plan.parameters) + 5),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert plan.parameters == pytest.approx(np.exp(found.x), rel=1e-3)
    assert plan.loss == pytest.approx(found.fun, rel=1e-9)
    assert 6 * plan.parameters * plan.tokens == pytest.approx(compute)


@pytest.mark.parametrize("tokens", [0, 1e12, 1e15])
def test_the_cheapest_model_beats_a_grid(tokens):
    plan = chinchilla.cheapest_model(2.1, tokens)
    assert plan.loss == pytest.approx(2.1)
    sizes = plan.parameters * np.geomspace(0.5, 2, 2001)
    costs = [n * (6 * chinchilla.tokens_needed(n, 2.1) + 2 * tokens) for n in sizes]
    assert min(costs) == pytest.approx(plan.total_flops, rel=1e-4)
    assert plan.total_flops <= min(costs) * (1 + 1e-9)


def test_without_inference_the_cheapest_is_the_optimal():
    plan = chinchilla.cheapest_model(2.1)
    assert plan.parameters == pytest.approx(
        chinchilla.optimal(plan.training_flops).parameters, rel=1e-4
    )


def test_more_inference_means_smaller_model_and_more_data():
    plans = [chinchilla.cheapest_model(2.1, t) for t in (0, 1e11, 1e12, 1e13, 1e14, 1e15)]
    sizes, data = ([getattr(p, name) for p in plans] for name in ("parameters", "tokens"))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)
    assert data == sorted(data) and len(set(data)) == len(data)


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="1,817 nats de hasard"):
        chinchilla.cheapest_model(1.5)
    with pytest.raises(ValueError, match="inference_tokens = -1"):
        chinchilla.cheapest_model(2.0, -1)
    with pytest.raises(ValueError, match="compute = 0"):
        chinchilla.optimal(0)
    assert chinchilla.tokens_needed(1e3, 2.0) == np.inf


@pytest.mark.parametrize("law", [chinchilla.HOFFMANN, chinchilla.BESIROGLU])
def test_each_law_has_its_own_optimum(law):
    plan = chinchilla.optimal(5.9e23, law)
    assert plan.loss == pytest.approx(chinchilla.loss(plan.parameters, plan.tokens, law))
    around = [
        chinchilla.loss(factor * plan.parameters, plan.tokens / factor, law)
        for factor in (0.9, 0.99, 1.01, 1.1)
    ]
    assert min(around) > plan.loss
    again = chinchilla.cheapest_model(plan.loss, law=law)
    assert again.parameters == pytest.approx(plan.parameters, rel=1e-4)


def test_the_replicated_law_agrees_with_twenty_tokens_per_parameter():
    """Besiroglu et al. 2024 : l’ajustement refait s’accorde avec la règle, l’imprimé non."""
    printed, replicated = (
        chinchilla.optimal(5.76e23, law) for law in (chinchilla.HOFFMANN, chinchilla.BESIROGLU)
    )
    assert 15 < replicated.tokens / replicated.parameters < 25
    assert printed.tokens / printed.parameters > 60
