"""L’empreinte : un faux capteur, une estimation à la main, une provenance toujours dite."""

import pytest

from course_lib import footprint as module
from course_lib.footprint import EnergyMeter, Footprint, Sensor, find_sensors, footprint_from_flops
from course_lib.scaling import MACHINES


@pytest.fixture
def powercap(tmp_path):
    """Un processeur, une de ses parts, et un capteur d’une autre sorte."""
    contents = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:1": "psys",
        "intel-rapl:2": "package-1",
    }
    for folder, name in contents.items():
        path = tmp_path / folder
        path.mkdir()
        (path / "name").write_text(name + "\n")
        (path / "energy_uj").write_text("1000000\n")
        (path / "max_energy_range_uj").write_text("9999999\n")
    (tmp_path / "intel-rapl:2" / "energy_uj").unlink()  # un compteur illisible
    return tmp_path


def test_only_readable_whole_processors_are_counted(powercap, tmp_path):
    assert find_sensors(powercap) == [Sensor(powercap / "intel-rapl:0")]
    assert find_sensors(tmp_path / "absent") == []


def test_a_sensor_is_a_measure(powercap):
    sensors = find_sensors(powercap)
    with EnergyMeter(sensors=sensors) as meter:
        (sensors[0].folder / "energy_uj").write_text("4600000\n")
    assert meter.footprint.joules == pytest.approx(3.6)
    assert meter.footprint.measured
    assert "RAPL" in meter.footprint.method


def test_the_counter_may_return_to_zero(powercap):
    sensor = find_sensors(powercap)[0]
    assert sensor.joules_between(9_000_000, 500_000) == pytest.approx(1.5)
    assert sensor.joules_between(500_000, 9_000_000) == pytest.approx(8.5)


def test_without_sensor_it_is_an_estimate(monkeypatch):
    clock = iter([3.0, 5.5])
    monkeypatch.setattr(module.time, "process_time", lambda: next(clock))
    with EnergyMeter(watts_per_core=8, sensors=[]) as meter:
        pass
    found = meter.footprint
    assert (found.cpu_seconds, found.joules, found.measured) == (2.5, 20.0, False)
    assert found.method == "temps de calcul × 8 W par cœur"


def test_units_by_hand():
    found = Footprint(7.2e6, True, "compteur", grams_co2_per_kwh=50)
    assert (found.kwh, found.grams_co2) == (2.0, 100.0)


def test_flops_become_joules_by_hand():
    found = footprint_from_flops(312e12, MACHINES["A100 80 Go"], 0.5, dtype="bfloat16")
    assert (found.seconds, found.joules, found.measured) == (2.0, 800.0, False)
    assert found.method == "opérations sur A100 80 Go, à 50 % de sa vitesse de pointe"


def test_a_block_that_fails_is_counted_too():
    meter = EnergyMeter(sensors=[])
    with pytest.raises(RuntimeError, match="panne"), meter:
        raise RuntimeError("panne")
    assert meter.footprint.seconds > 0


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match="La mesure n’est pas finie"):
        _ = EnergyMeter().footprint
    with pytest.raises(ValueError, match="watts_per_core = 0 : c’est la puissance"):
        EnergyMeter(watts_per_core=0)
    with pytest.raises(ValueError, match="environ 50 en France"):
        EnergyMeter(grams_co2_per_kwh=-1)
    machine = MACHINES["A100 80 Go"]
    with pytest.raises(ValueError, match="flops = -1"):
        footprint_from_flops(-1, machine)
    with pytest.raises(ValueError, match=r"Pour 40 %, donnez 0.4"):
        footprint_from_flops(1, machine, 40)
    with pytest.raises(ValueError, match="pas de vitesse connue en 'int3'"):
        footprint_from_flops(1, machine, dtype="int3")
