"""L’identité d’un entraînement : de quoi refuser de le reprendre avec d’autres réglages.

Ce sont ses réglages, son architecture, ses données et sa perte : le nom de celle-ci, ses réglages,
et l’empreinte des modèles qu’elle consulte (l’enseignant d’une distillation). Rien à déclarer : ce
sont les attributs de l’objet, ou les valeurs que la fonction a capturées. Une perte enveloppée par
`functools.wraps` est celle qu’elle enveloppe ; un attribut dont le nom commence par « _ » est un
état, non un réglage.
"""

import contextlib
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.training.checkpoint import describe_tensors, named_tensors

# Ces réglages ne changent les poids obtenus que d’arrondis : on peut reprendre avec d’autres.
_FREE_SETTINGS = (
    *("log_every", "eval_every", "checkpoint_every"),
    *("n_threads", "device", "accumulate", "compile"),
)
_PLAIN = (str, int, float, bool, type(None))


@torch.no_grad()
def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Empreinte SHA-256 de tenseurs nommés : elle change avec un seul bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def run_identity(model: nn.Module, data, config, architecture, loss) -> dict[str, dict]:
    """Ce qu’un point de reprise doit partager avec l’entraînement qui le reprend."""
    settings = {k: v for k, v in asdict(config).items() if k not in _FREE_SETTINGS}
    declared = asdict(architecture) if is_dataclass(architecture) else dict(architecture or {})
    identity = {
        "config": settings,
        "architecture": declared,
        "tensors": describe_tensors(named_tensors(model)),
        "data": data.fingerprint() if hasattr(data, "fingerprint") else {},
        "loss": _flat("loss", describe(loss, model)),
    }
    if hasattr(model, "fingerprint"):
        identity["loss"] |= _flat("model", describe(model.fingerprint()))
    return json.loads(json.dumps(identity, default=str))  # sous la forme où le JSON la rendra


def describe(value: Any, model: nn.Module | None = None) -> Any:
    """Ce qui distingue `value`, fait de dictionnaires, de listes et de valeurs simples.

    `model` : celui que l’on entraîne ; ses poids changent, ses parties ne sont que nommées. Un
    objet qui a une méthode `fingerprint()` dit lui-même ce qui le distingue.
    """
    parts = [] if model is None else [*model.modules(), *model.parameters()]
    return _describe(value, {id(part) for part in parts}, ())


def _describe(value: Any, trained: Set[int], seen: tuple[int, ...]) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if id(value) in trained:
        return "le modèle entraîné"
    if id(value) in seen:
        return "déjà décrit"
    inner = functools.partial(_describe, trained=trained, seen=(*seen, id(value)))
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return {"values": tensors_digest({"": torch.as_tensor(value)})}
    if isinstance(value, nn.Module):
        return {"class": _name(type(value)), "weights": tensors_digest(value.state_dict())}
    if isinstance(value, Mapping):
        return {str(key): inner(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [inner(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(inner(item)) for item in value)
    return _describe_code(value, inner)


def _describe_code(value: Any, inner: Callable) -> Any:
    """Une fonction, ou un objet et ses réglages."""
    if isinstance(value, functools.partial):
        return {"partial": inner(value.func), "arguments": inner(value.args)} | inner(
            value.keywords
        )
    if inspect.ismethod(value):
        return {"method": _name(value.__func__), "of": inner(value.__self__)}
    if inspect.isroutine(value) or isinstance(value, type):
        function = inspect.unwrap(value)
        captured = _captured(function) if inspect.isfunction(function) else {}
        return {"function": _name(function)} | inner(captured)
    if callable(getattr(value, "fingerprint", None)):
        return {"class": _name(type(value))} | {"fingerprint": inner(value.fingerprint())}
    if is_dataclass(value):
        settings = {field.name: getattr(value, field.name) for field in fields(value)}
    else:
        settings = getattr(value, "__dict__", {})
    public = {name: item for name, item in settings.items() if not name.startswith("_")}
    return {"class": _name(type(value))} | inner(public)


def _captured(function: Callable) -> dict[str, Any]:
    """Ce qu’une fonction a pris autour d’elle, et ses valeurs par défaut."""
    captured = {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # une variable qui n’a pas encore de valeur
            captured[name] = cell.cell_contents
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            captured[name] = parameter.default
    return captured


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Une description à un seul étage : un refus nomme alors le réglage, « loss.alpha »."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        path: item
        for key, inside in value.items()
        for path, item in _flat(f"{name}.{key}", inside).items()
    }


def _name(value: Any) -> str:
    return getattr(value, "__qualname__", type(value).__qualname__)
