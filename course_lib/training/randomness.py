"""Le hasard d’un entraînement : celui que l’on tire, et celui de l’ordre des sommes.

Il y a un tirage sur le processeur, et un autre sur l’accélérateur s’il y en a un. De plus, un GPU
additionne par défaut dans l’ordre où ses fils arrivent : le dernier bit change d’une fois à
l’autre.
"""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def seed_generators(device: torch.device, seed: int) -> None:
    """Donne cette graine au hasard du processeur et de l’appareil."""
    torch.default_generator.manual_seed(seed)
    if _has_generator(device):
        torch.get_device_module(device).manual_seed(seed)


def _states(device: torch.device) -> dict[str, Tensor]:
    """L’état du hasard : celui du processeur et, s’il en a un, celui de l’appareil."""
    states = {"cpu": torch.get_rng_state()}
    if _has_generator(device):
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def _set_states(device: torch.device, states: dict[str, Tensor]) -> None:
    """Remet un état du hasard ; celui d’un autre appareil est laissé de côté."""
    torch.set_rng_state(states["cpu"])
    if _has_generator(device) and device.type in states:
        torch.get_device_module(device).set_rng_state(states[device.type])


@contextmanager
def forked_generators(device: torch.device) -> Iterator[None]:
    """Le temps d’un bloc `with`, on tire ce que l’on veut ; le hasard d’avant revient ensuite."""
    states = _states(device)
    try:
        yield
    finally:
        _set_states(device, states)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Le temps d’un bloc `with`, cuda additionne toujours dans le même ordre.

    Sans quoi aucune reprise n’y est exacte. Ailleurs, c’est déjà le cas. Une opération qui ne sait
    pas le faire avertit.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # ce que demande cuBLAS pour cela
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # on n’en lit pas
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = fills


def _has_generator(device: torch.device) -> bool:
    return device.type not in ("cpu", "meta")


def written_states(device: torch.device) -> str:
    """L’état du hasard, à enregistrer : « processeur » ou « processeur,cuda=accélérateur »."""
    states = _states(device)
    texts = {k: base64.b64encode(bytes(state.tolist())).decode() for k, state in states.items()}
    return ",".join([texts.pop("cpu"), *(f"{kind}={text}" for kind, text in texts.items())])


def restore_states(device: torch.device, text: str) -> None:
    """Remet l’état qu’a rendu `written_states` ; celui d’un autre appareil est laissé de côté."""
    processor, *others = text.split(",")
    texts = {"cpu": processor, **dict(other.split("=", 1) for other in others)}
    decoded = {kind: list(base64.b64decode(text)) for kind, text in texts.items()}
    _set_states(device, {k: torch.tensor(v, dtype=torch.uint8) for k, v in decoded.items()})
