"""Le coût d’un entraînement, comparé à ce que ses auteurs ont publié."""

import pytest

from course_lib.scaling.machines import MACHINES, decoding_speed, find_machine, training_cost
from course_lib.scaling.models import MODELS

H100, LAPTOP = MACHINES["H100 80 Go"], MACHINES["portable (2 cœurs)"]
GIANT, TINY = MODELS["Llama-3.1-405B"], MODELS["petit LLM"].config


def giant_cost(n_machines=16384, **options):
    sizes = {"utilisation": 0.4, "context_length": 8192} | options
    return training_cost(GIANT.config, GIANT.training_tokens, H100, n_machines, **sizes)


def test_order_of_magnitude_of_llama_405b():
    cost = giant_cost()
    # Fiche du modèle : 30,84 millions d’heures de H100 ; 38 à 43 % de la vitesse de pointe.
    assert cost.machine_hours == pytest.approx(30.84e6, rel=0.15)
    assert cost.energy_kwh == pytest.approx(30.84e6 * 0.7 * 1.1, rel=0.15)
    assert cost.fits and 80 < cost.machines_needed < 200 and cost.estimated


def test_time_is_shared_and_energy_is_not():
    one, many = giant_cost(1000), giant_cost(2000)
    assert one.seconds == pytest.approx(2 * many.seconds)
    assert (one.energy_kwh, one.price) == pytest.approx((many.energy_kwh, many.price))
    assert giant_cost(pue=2.2).co2_kg == pytest.approx(2 * giant_cost().co2_kg)
    assert not giant_cost(8).fits


def test_our_model_costs_minutes_on_a_laptop():
    cost = training_cost(TINY, 1e7, LAPTOP, utilisation=0.3, dtype="float32")
    assert 60 < cost.seconds < 3600 and cost.fits


def test_decoding_is_bound_by_the_bandwidth():
    config = MODELS["Llama-3-8B"].config
    speed = decoding_speed(config, H100)
    read = 2 * 8_030_261_248 + 2 * 2 * 32 * 8 * 128  # poids, puis clés et valeurs d’un jeton
    assert speed == pytest.approx(H100.bandwidth / read)
    assert decoding_speed(config, H100, batch_size=16) > 15 * speed
    assert decoding_speed(config, H100, context_length=8192) < speed
    assert decoding_speed(config, H100, dtype="int4") > 3.9 * speed
    mixture = MODELS["Mixtral-8x7B"].config
    pair = {"n_machines": 2}
    assert decoding_speed(mixture, H100, **pair) > 1.5 * decoding_speed(
        mixture, H100, batch_size=2, **pair
    )


def test_impossible_projects_are_refused():
    with pytest.raises(ValueError, match="prenez n_machines=11"):
        decoding_speed(GIANT.config, H100)
    with pytest.raises(ValueError, match="encodeur n’écrit pas"):
        decoding_speed(MODELS["BERT-base"].config, H100)
    with pytest.raises(ValueError, match=r"utilisation = 40.* donnez 0\.4"):
        giant_cost(utilisation=40)
    with pytest.raises(ValueError, match="n_machines = 0"):
        giant_cost(0)
    with pytest.raises(ValueError, match="pue = 0"):
        giant_cost(pue=0)
    with pytest.raises(ValueError, match="tokens = -1"):
        training_cost(TINY, -1, LAPTOP)
    with pytest.raises(ValueError, match="pas de vitesse connue en 'int8'"):
        training_cost(TINY, 10, LAPTOP, dtype="int8")
    with pytest.raises(ValueError, match="Machine inconnue : 'Z80'"):
        find_machine("Z80")
