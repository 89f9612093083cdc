"""Où se fait le calcul : le processeur, ou un accélérateur (« cuda », « mps »).

Un accélérateur travaille pendant que le programme continue ; lire un nombre qu’il calcule l’oblige
à finir et nous à attendre. Les données restent donc sur le processeur : on y compte les cibles d’un
lot, puis on l’envoie, une seule fois.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from course_lib.training.data import IGNORE
from course_lib.transformer.ids import check_ids

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("float32", "bfloat16")


def find_device(name: str) -> torch.device:
    """L’appareil de ce nom ; « auto » : le premier présent de cuda, mps, cpu.

    ValueError si le nom est inconnu, ou si cette machine n’a pas cet appareil.
    """
    if name not in DEVICES:
        raise ValueError(f"device = {name!r} est inconnu : choisissez parmi {', '.join(DEVICES)}.")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, here in present.items() if here), "cpu"))
    if not present.get(name, True):
        raise ValueError(
            f"device = {name} : cette machine n’a pas cet appareil, ou PyTorch y est installé sans "
            "lui. Prenez cpu ou auto."
        )
    return torch.device(name)


def device_of(model: nn.Module) -> torch.device:
    """L’appareil des poids d’un modèle ; le processeur s’il n’en a pas."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def to_device(batch: tuple, model: nn.Module) -> tuple:
    """Le lot sur l’appareil du modèle, où l’on sait déjà quelles positions ont une cible.

    Sur le processeur, c’est le lot lui-même ; un tenseur déjà ailleurs est pris tel qu’il est.
    ValueError si un id est hors du vocabulaire : sur le processeur, le modèle le voit lui-même.
    """
    device = device_of(model)
    if device.type == "cpu":
        return batch
    tokens = getattr(getattr(model, "embedding", None), "tokens", None)
    if tokens is not None and batch[0].device.type == "cpu":
        check_ids(batch[0], tokens.num_embeddings)
    return tuple(_moved(column, device) for column in batch)


def split(batch: tuple, n_parts: int) -> list[tuple]:
    """Le lot en `n_parts` morceaux, d’autant de lignes à une près. ValueError s’il en a moins."""
    if n_parts == 1:
        return [batch]
    if len(batch[0]) < n_parts:
        raise ValueError(
            f"accumulate = {n_parts} : un lot de {len(batch[0])} ligne(s) ne fait pas {n_parts} "
            "morceaux. Réduisez accumulate, ou agrandissez batch_size."
        )
    return list(zip(*(column.tensor_split(n_parts) for column in batch), strict=True))


def _moved(column: Tensor, device: torch.device) -> Tensor:
    if column.device.type != "cpu":
        return column.to(device)
    moved = _sent(column, device)
    if not column.is_floating_point():
        n_tokens, rows = learned_rows(column)
        moved.learned = n_tokens, None if rows is None else _sent(rows, device)
    return moved


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """La copie sur l’appareil ; vers cuda, elle se fait pendant que le programme continue."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def learned_rows(targets: Tensor) -> tuple[int, Tensor | None]:
    """Combien de cibles sont à apprendre, et où : (N,) rangs dans le lot aplati ; None : partout.

    Pour des cibles que `to_device` a envoyées, c’est déjà compté : l’appareil n’est pas attendu.
    """
    if hasattr(targets, "learned"):
        return targets.learned
    kept = (targets != IGNORE).flatten()
    n_tokens = int(kept.sum())
    return n_tokens, None if n_tokens == targets.numel() else kept.nonzero()[:, 0]


def pick(values: Tensor, rows: Tensor | None) -> Tensor:
    """Les positions `rows` d’un lot : (B, T, …) → (N, …) ; toutes pour None."""
    flat = values.flatten(0, 1)
    return flat if rows is None else flat.index_select(0, rows)


def autocast(device: torch.device, dtype: str) -> AbstractContextManager:
    """Contexte de calcul : en bfloat16, les produits de matrices se font sur 16 bits.

    Poids, gradients, sommes et perte gardent leur précision.
    """
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, torch.bfloat16)
