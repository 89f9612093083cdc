"""L’empreinte d’un calcul : énergie et carbone, mesurés si la machine a un capteur, sinon estimés.

Sous Linux, les processeurs Intel et AMD récents comptent leur énergie (RAPL), dans
`/sys/class/powercap`. Souvent, le compteur manque (machine virtuelle) ou n’est lisible que par
l’administrateur : on estime alors, à partir du temps de calcul et d’une puissance annoncée. Chaque
empreinte dit d’où elle vient, par `measured` et `method` : une estimation n’est pas une mesure.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from course_lib.scaling import Machine

JOULES_PER_KWH = 3.6e6
FRENCH_GRID = 50.0  # gCO₂e par kWh, ordre de grandeur du réseau français
SENSORS = Path("/sys/class/powercap")
WATTS_PER_CORE = 15.0  # « portable (2 cœurs) », 30 W : une estimation, à remplacer par la vôtre


@dataclass(frozen=True)
class Footprint:
    """L’énergie d’un calcul, en joules, et sa provenance.

    `measured` : vrai si un capteur l’a comptée ; `method` : comment elle a été obtenue.
    `seconds` : durée ; `cpu_seconds` : temps de calcul, tous fils réunis. 0 si sans objet.
    """

    joules: float
    measured: bool
    method: str
    grams_co2_per_kwh: float = FRENCH_GRID
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def kwh(self) -> float:
        """Énergie en kilowattheures."""
        return self.joules / JOULES_PER_KWH

    @property
    def grams_co2(self) -> float:
        """Grammes de CO₂ équivalent, pour l’intensité du réseau annoncée."""
        return self.kwh * self.grams_co2_per_kwh


@dataclass(frozen=True)
class Sensor:
    """Un compteur RAPL : l’énergie d’un processeur entier, en microjoules, qui revient à zéro.

    Il compte tout ce que fait le processeur, pas seulement ce programme.
    """

    folder: Path

    def read(self) -> int:
        return int((self.folder / "energy_uj").read_text(encoding="ascii"))

    def joules_between(self, before: int, after: int) -> float:
        """Énergie entre deux lectures, un retour à zéro au plus (une heure environ à 60 W)."""
        if after < before:
            limit = (self.folder / "max_energy_range_uj").read_text(encoding="ascii")
            after += int(limit) + 1
        return (after - before) / 1e6


def find_sensors(folder: Path = SENSORS) -> list[Sensor]:
    """Les compteurs lisibles, un par processeur ; liste vide s’il n’y en a pas.

    Un dossier comme `intel-rapl:0:1` détaille une part de `intel-rapl:0` : il n’est pas compté.
    """
    sensors = []
    for path in sorted(folder.glob("intel-rapl:*")):
        sensor = Sensor(path)
        try:
            name = (path / "name").read_text(encoding="ascii").strip()
            sensor.read()
        except (OSError, ValueError):
            continue  # absent, illisible sans droits, ou vide
        if path.name.count(":") == 1 and name.startswith("package"):
            sensors.append(sensor)
    return sensors


class EnergyMeter:
    """Compte l’énergie de ce qui se passe dans le bloc `with`.

        with EnergyMeter() as meter:
            ...
        meter.footprint.joules, meter.footprint.measured

    `watts_per_core` : puissance d’un cœur occupé, pour l’estimation faute de capteur.
    ValueError si une puissance ou une intensité est impossible.
    """

    def __init__(
        self,
        watts_per_core: float = WATTS_PER_CORE,
        grams_co2_per_kwh: float = FRENCH_GRID,
        sensors: list[Sensor] | None = None,
    ):
        _check_positive("watts_per_core", watts_per_core, "la puissance d’un cœur, en watts")
        _check_grid(grams_co2_per_kwh)
        self.watts_per_core, self.grams_co2_per_kwh = watts_per_core, grams_co2_per_kwh
        self.sensors = find_sensors() if sensors is None else sensors
        self._footprint: Footprint | None = None

    def __enter__(self) -> "EnergyMeter":
        self._footprint = None
        self._before = [sensor.read() for sensor in self.sensors]
        self._start = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *exception) -> None:
        stop = (time.perf_counter(), time.process_time())
        seconds, cpu_seconds = (end - start for end, start in zip(stop, self._start, strict=True))
        if self.sensors:
            joules = sum(
                sensor.joules_between(before, sensor.read())
                for sensor, before in zip(self.sensors, self._before, strict=True)
            )
            method = "compteur RAPL du processeur entier"
        else:
            joules = cpu_seconds * self.watts_per_core
            method = f"temps de calcul × {self.watts_per_core:g} W par cœur".replace(".", ",")
        self._footprint = Footprint(
            joules, bool(self.sensors), method, self.grams_co2_per_kwh, seconds, cpu_seconds
        )

    @property
    def footprint(self) -> Footprint:
        """L’empreinte du bloc ; ValueError tant qu’il n’est pas fini."""
        if self._footprint is None:
            raise ValueError(
                "La mesure n’est pas finie : lisez `footprint` après le bloc "
                "« with EnergyMeter() as meter: »."
            )
        return self._footprint


def footprint_from_flops(
    flops: float,
    machine: Machine,
    utilisation: float = 0.4,
    *,
    dtype: str = "float32",
    grams_co2_per_kwh: float = FRENCH_GRID,
) -> Footprint:
    """Empreinte estimée d’un nombre d’opérations : opérations / vitesse × puissance de la machine.

    `utilisation` : part de la vitesse de pointe vraiment atteinte. ValueError hors des bornes.
    """
    if not 0 <= flops < math.inf:
        raise ValueError(f"flops = {flops} : il faut un nombre d’opérations positif ou nul.")
    if not 0 < utilisation <= 1:
        raise ValueError(
            f"utilisation = {utilisation} : c’est une part de la vitesse de pointe, entre 0 et 1. "
            "Pour 40 %, donnez 0.4."
        )
    _check_grid(grams_co2_per_kwh)
    seconds = flops / (machine.peak(dtype) * utilisation)
    method = f"opérations sur {machine.name}, à {100 * utilisation:g} % de sa vitesse de pointe"
    return Footprint(seconds * machine.power, False, method, grams_co2_per_kwh, seconds)


def _check_positive(name: str, value: float, what: str) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} = {value} : c’est {what}, un nombre strictement positif.")


def _check_grid(value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(
            f"grams_co2_per_kwh = {value} : il faut un nombre positif ou nul, environ 50 en France."
        )
