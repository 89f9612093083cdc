"""Remplir un modèle vide avec les tenseurs d’un fichier, un à un, après avoir tout vérifié."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.pretrained.places import Place
from course_lib.transformer.meta import build_on_meta

_SHOWN = 5
_PACKED = (".qweight", ".qzeros", ".weight_packed", ".absmax", ".SCB", ".weight_scale", ".scales")


@dataclass(frozen=True)
class Source:
    """Les tenseurs d’un fichier : leurs formes, et `read(nom)`, qui en lit un en simple précision.

    `copies` : tenseur → celui qu’il doit répéter, s’il n’a pas de place dans le modèle.
    `is_useless(nom)` : vrai pour un tenseur dont le modèle n’a pas besoin.
    """

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]
    copies: Mapping[str, str]
    is_useless: Callable[[str], bool]


def build_empty(config: object, n_tensors: int) -> nn.Module:
    """Le modèle sur « meta » : des formes, pas de nombres. ValueError si la taille est absurde."""
    if config.n_layers > n_tensors:
        raise ValueError(
            f"Les réglages annoncent {config.n_layers} étages et il n’y a que {n_tensors} tenseurs "
            "de poids : les fichiers ne vont pas ensemble."
        )
    try:
        return build_on_meta(config)
    except RuntimeError as error:  # plus de nombres qu’un entier de 64 bits n’en compte
        raise ValueError(f"Les réglages décrivent un modèle trop grand : {error}.") from None


def fill(model: nn.Module, places: Mapping[str, Place], source: Source) -> None:
    """Met chaque tenseur du fichier à sa place ; des poids liés le restent.

    `places` : où le fichier range chaque paramètre du modèle. ValueError, avec les noms, s’il
    manque un tenseur, s’il y en a un de trop, si une forme diffère, si une copie n’en est pas une.
    """
    parameters = dict(model.named_parameters())  # un poids lié n’y est qu’une fois
    _check(parameters, places, source)
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((module, name))
    # Toutes les places d’abord : les tenseurs de passage ne laissent pas de trous entre elles.
    weights = {ours: torch.empty(p.shape, device="cpu") for ours, p in parameters.items()}
    for ours, weight in weights.items():
        weight.copy_(places[ours].read(source.read(places[ours].name)))
        if not bool(weight.isfinite().all()):
            raise ValueError(
                f"Le tenseur « {places[ours].name} » contient une valeur qui n’est pas un nombre "
                "fini : le fichier est abîmé. Téléchargez-le à nouveau."
            )
        parameter = nn.Parameter(weight)
        for module, name in owners[id(parameters[ours])]:
            setattr(module, name, parameter)


def _check(parameters: Mapping[str, Tensor], places: Mapping[str, Place], source: Source) -> None:
    used = {place.name for place in places.values()}
    missing = used - source.shapes.keys()
    if missing:
        packed = next((name for name in source.shapes if name.endswith(_PACKED)), None)
        why = "le fichier est incomplet." if packed is None else _quantized(packed)
        raise ValueError(f"Il manque {_listed(missing, 'tenseur')} : {why}")
    for ours, parameter in parameters.items():
        expected = places[ours].file_shape(tuple(parameter.shape))
        found = tuple(source.shapes[places[ours].name])
        if found != expected:
            raise ValueError(
                f"Le tenseur « {places[ours].name} » a la forme {found} ; d’après les réglages du "
                f"modèle, il faut {expected}."
            )
    extra = source.shapes.keys() - used - source.copies.keys()
    extra = {name for name in extra if not source.is_useless(name)}
    packed = next((name for name in sorted(extra) if name.endswith(_PACKED)), None)
    if packed is not None:
        raise ValueError(f"Le fichier a {_listed(extra, 'tenseur')} de trop : {_quantized(packed)}")
    if extra:
        raise ValueError(
            f"Le fichier a {_listed(extra, 'tenseur')} de trop : nos modèles n’en ont pas "
            "l’emploi, et sans eux le calcul serait faux."
        )
    for copy, original in source.copies.items():
        if copy in used or copy not in source.shapes:
            continue
        if not torch.equal(source.read(copy), source.read(original)):
            raise ValueError(
                f"Le tenseur « {copy} » devrait répéter « {original} » (poids liés) et en diffère."
            )


def _quantized(name: str) -> str:
    return (
        f"« {name} » montre des poids quantifiés (GPTQ, AWQ, bitsandbytes…), que l’on ne lit pas. "
        "Cherchez une version du modèle aux poids ordinaires (bf16, f16 ou f32), ou en GGUF."
    )


def _listed(names: Iterable[str], what: str) -> str:
    """« 7 tenseurs (a, b, c, d, e…) »."""
    names = sorted(names)
    rest = "…" if len(names) > _SHOWN else ""
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} {what}{plural} ({', '.join(names[:_SHOWN])}{rest})"
