"""Des machines, et ce qu’un modèle y coûte : temps, énergie, carbone, prix.

Les vitesses de pointe et les puissances sont celles des notices ; les prix, l’emploi réel des
processeurs et le carbone sont des estimations, et tout ce qui en découle aussi.
"""

import math
from dataclasses import dataclass

from course_lib.scaling.anatomy import anatomy
from course_lib.scaling.flops import training_flops_per_token
from course_lib.scaling.memory import (
    bytes_per_number,
    inference_memory,
    kv_cache_bytes,
    training_memory,
)
from course_lib.scaling.parameters import active_parameters
from course_lib.typography import format_number


@dataclass(frozen=True)
class Machine:
    """Un processeur. Unités : opérations/s par format, octets, octets/s, watts, euros/heure."""

    name: str
    peak_flops: dict[str, float]
    memory: float
    bandwidth: float
    power: float
    price_per_hour: float  # estimation
    source: str

    def peak(self, dtype: str) -> float:
        """Vitesse de pointe dans ce format ; ValueError s’il n’est pas connu de la machine."""
        if dtype not in self.peak_flops:
            raise ValueError(
                f"{self.name} : pas de vitesse connue en {dtype!r}. Choisissez parmi "
                f"{', '.join(self.peak_flops)}."
            )
        return self.peak_flops[dtype]


_ESTIMATED_PRICE = "prix de location : estimation"
MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (
        Machine(
            "portable (2 cœurs)",
            {"float32": 1.5e11, "bfloat16": 1.5e11},
            16e9,
            4e10,
            30,
            0.02,
            "tout est estimé : 2 cœurs à 2,5 GHz, AVX2 ; prix : électricité et usure",
        ),
        Machine(
            "A100 80 Go",
            {"float32": 19.5e12, "bfloat16": 312e12, "float16": 312e12},
            80e9,
            2.039e12,
            400,
            1.8,
            f"notice NVIDIA A100 SXM ; {_ESTIMATED_PRICE}",
        ),
        Machine(
            "H100 80 Go",
            {"float32": 67e12, "bfloat16": 989e12, "float16": 989e12},
            80e9,
            3.35e12,
            700,
            2.8,
            f"notice NVIDIA H100 SXM ; {_ESTIMATED_PRICE}",
        ),
    )
}


@dataclass(frozen=True)
class TrainingCost:
    """Le coût estimé d’un entraînement ; toutes les valeurs sont des ordres de grandeur."""

    flops: float
    seconds: float
    machine_hours: float
    energy_kwh: float
    co2_kg: float
    price: float
    memory: float  # octets, une phrase à la fois
    machines_needed: int  # pour tenir la mémoire
    fits: bool
    estimated: bool = True


def find_machine(name: str) -> Machine:
    """La machine de ce nom ; ValueError, avec la liste, si elle n’y est pas."""
    if name not in MACHINES:
        raise ValueError(f"Machine inconnue : {name!r}. Choisissez parmi {', '.join(MACHINES)}.")
    return MACHINES[name]


def training_cost(
    config: object,
    tokens: float,
    machine: Machine,
    n_machines: int = 1,
    utilisation: float = 0.4,
    *,
    dtype: str = "bfloat16",
    context_length: int | None = None,
    pue: float = 1.1,
    grams_co2_per_kwh: float = 50.0,
) -> TrainingCost:
    """Temps, énergie, carbone et prix estimés d’un entraînement sur `tokens` jetons.

    `utilisation` : part de la vitesse de pointe vraiment atteinte, souvent 0,3 à 0,5.
    `pue` : énergie de la salle entière rapportée à celle des machines. `grams_co2_per_kwh` : 50
    environ en France, 400 aux États-Unis (ordres de grandeur). ValueError hors des bornes.
    """
    _check_training(tokens, n_machines, utilisation, pue, grams_co2_per_kwh)
    flops = tokens * training_flops_per_token(config, context_length)
    machine_seconds = flops / (machine.peak(dtype) * utilisation)
    hours = machine_seconds / 3600
    energy = hours * machine.power / 1000 * pue
    memory = training_memory(config, context_length=context_length, dtype=dtype).total
    needed = math.ceil(memory / machine.memory)
    return TrainingCost(
        flops=flops,
        seconds=machine_seconds / n_machines,
        machine_hours=hours,
        energy_kwh=energy,
        co2_kg=energy * grams_co2_per_kwh / 1000,
        price=hours * machine.price_per_hour,
        memory=memory,
        machines_needed=needed,
        fits=needed <= n_machines,
    )


def _check_training(
    tokens: float, n_machines: int, utilisation: float, pue: float, co2: float
) -> None:
    if not 0 < tokens < math.inf:
        raise ValueError(f"tokens = {tokens} : il faut un nombre de jetons strictement positif.")
    if n_machines < 1:
        raise ValueError(f"n_machines = {n_machines} : il faut au moins une machine.")
    if not 0 < utilisation <= 1:
        raise ValueError(
            f"utilisation = {utilisation} : c’est une part de la vitesse de pointe, entre 0 et 1. "
            "Pour 40 %, donnez 0.4."
        )
    if pue < 1:
        raise ValueError(f"pue = {pue} : une salle consomme au moins ses machines. Donnez pue ≥ 1.")
    if co2 < 0:
        raise ValueError(f"grams_co2_per_kwh = {co2} : il faut un nombre positif ou nul.")


def decoding_speed(
    config: object,
    machine: Machine,
    *,
    dtype: str = "bfloat16",
    batch_size: int = 1,
    context_length: int = 1,
    n_machines: int = 1,
) -> float:
    """Jetons par seconde, au mieux (estimation) : écrire un jeton oblige à relire tous les poids.

    Borne par la bande passante : poids actifs et mémoire cache à relire à chaque pas. À plus d’une
    phrase, tous les experts d’un mélange sont comptés : un autre texte en choisit d’autres.
    Rend le total du lot. ValueError si le modèle ne tient pas dans la mémoire.
    """
    if anatomy(config).decoder is None:
        raise ValueError("Un encodeur n’écrit pas de texte : donnez un décodeur, comme GPT2Config.")
    if n_machines < 1:
        raise ValueError(f"n_machines = {n_machines} : il faut au moins une machine.")
    sizes = {"batch_size": batch_size, "context_length": context_length}
    held = inference_memory(config, **sizes, dtype=dtype)
    if held.total > n_machines * machine.memory:
        needed = math.ceil(held.total / machine.memory)
        raise ValueError(
            f"Le modèle demande {format_number(held.total / 1e9, 1)} Go et {machine.name} en a "
            f"{format_number(n_machines * machine.memory / 1e9, 1)} : prenez "
            f"n_machines={needed}, ou un format plus petit (dtype)."
        )
    weights = held.weights
    if batch_size == 1:
        weights = active_parameters(config) * bytes_per_number(dtype)
    read = weights + kv_cache_bytes(config, context_length, batch_size=batch_size)
    return batch_size * n_machines * machine.bandwidth / read
