"""Choisir ce qui s’entraîne : tout, une partie nommée, ou les seuls biais.

Un motif désigne des paramètres par leur nom, à la façon des fichiers : « blocks.1.* », « *.bias ».
"""

import fnmatch
import hashlib
from collections.abc import Iterable

import torch
from torch import nn


def freeze(model: nn.Module) -> None:
    """Plus aucun paramètre du modèle ne s’entraîne."""
    model.requires_grad_(False)


def train_only(model: nn.Module, patterns: Iterable[str]) -> list[str]:
    """N’entraîne que les paramètres que désigne un des motifs ; rend leurs noms.

    Des poids liés (tête et embeddings) n’ont qu’un nom, le premier rencontré. ValueError si un
    motif ne désigne rien : il est sans doute mal écrit.
    """
    names = [name for name, _ in model.named_parameters()]
    patterns = list(patterns)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ValueError(
                f"Le motif « {pattern} » ne désigne aucun paramètre ; le modèle a par exemple : "
                f"{', '.join(names[:6])}."
            )
    freeze(model)
    chosen = []
    for name, parameter in model.named_parameters():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(True)
            chosen.append(name)
    return chosen


def train_biases(model: nn.Module) -> list[str]:
    """BitFit : n’entraîne que les biais et les échelles des normes ; rend leurs noms.

    Un décodeur de type Llama n’a pas de biais : il ne lui reste que les normes. Source : Ben Zaken
    et al. 2022, qui n’entraînent que les biais.
    """
    freeze(model)
    chosen = []
    for path, module in model.named_modules():
        is_norm = isinstance(module, (nn.LayerNorm, nn.RMSNorm))
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias" or is_norm:
                parameter.requires_grad_(True)
                chosen.append(f"{path}.{name}")
    if not chosen:
        raise ValueError("Ce modèle n’a ni biais ni norme : BitFit n’y trouve rien à entraîner.")
    return chosen


def count_trainable(model: nn.Module) -> int:
    """Nombre de paramètres qui s’entraînent."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def weight_fingerprint(model: nn.Module, skip: str = "adapters") -> str:
    """Empreinte SHA-256 des poids de la base, au bit près.

    Rien de ce qu’on ajoute au modèle n’y compte : adaptateurs, goulots, amorce. Avec
    `skip=""`, tout compte, et même l’adaptateur qui sert.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if f".{skip}." in f".{name}":
            continue
        digest.update(name.replace(".base.", ".").encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).cpu().numpy().tobytes())
    for name, module in model.named_modules():
        active = getattr(module, "active", None)
        if not skip and isinstance(active, str):
            digest.update(f"{name} {active}".encode())
    return digest.hexdigest()
