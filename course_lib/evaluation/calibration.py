"""La confiance d’un modèle, et ce qu’elle vaut.

Un modèle est calibré si, parmi les réponses qu’il donne avec une confiance de 80 %, huit sur dix
sont justes. Une confiance bien classée, elle, est plus haute quand le modèle sait que quand il ne
sait pas : c’est l’aire sous la courbe ROC (AUROC). L’un ne donne pas l’autre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Les réponses dont la confiance est dans ]low, high] (0 compris dans la première tranche).

    `confidence` et `accuracy` : moyennes des `count` réponses, None s’il n’y en a aucune.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def calibration_curve(
    confidences: Sequence[float], correct: Sequence[bool], n_bins: int = 10
) -> list[Bin]:
    """Range les réponses par tranches de confiance de même largeur, de 0 à 1.

    Source : Guo et al. 2017, arXiv:1706.04599, §2. ValueError si les listes n’ont pas la même
    longueur, sont vides, ou si une confiance n’est pas une probabilité.
    """
    values, hits = _check(confidences, correct, n_bins)
    ranks = np.clip(np.ceil(values * n_bins).astype(int) - 1, 0, n_bins - 1)
    bins = []
    for rank in range(n_bins):
        inside = ranks == rank
        count = int(inside.sum())
        confidence = float(values[inside].mean()) if count else None
        accuracy = float(hits[inside].mean()) if count else None
        bins.append(Bin(rank / n_bins, (rank + 1) / n_bins, count, confidence, accuracy))
    return bins


def calibration_error(
    confidences: Sequence[float], correct: Sequence[bool], n_bins: int = 10
) -> float:
    """Écart attendu (ECE) : moyenne de |justesse − confiance| par tranche, pesée par l’effectif.

    0 : parfaitement calibré. Source : Guo et al. 2017, équation 3. ValueError : voir
    `calibration_curve`.
    """
    filled = [b for b in calibration_curve(confidences, correct, n_bins) if b.count]
    total = sum(b.count for b in filled)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in filled) / total


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Probabilité qu’un positif tiré au hasard dépasse un négatif, l’égalité comptant pour moitié.

    C’est l’aire sous la courbe ROC : 0,5 au hasard, 1 si un seuil les sépare. Source : Hanley et
    McNeil 1982, doi:10.1148/radiology.143.1.7063747. ValueError si un groupe est vide ou s’il
    contient un nombre qui n’en est pas un.
    """
    first, second = np.asarray(positives, float), np.asarray(negatives, float)
    if first.ndim != 1 or second.ndim != 1 or not len(first) or not len(second):
        raise ValueError(
            f"Formes reçues : {first.shape} et {second.shape}. Il faut deux listes de nombres, "
            "dont aucune n’est vide."
        )
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("Une des confiances n’est pas un nombre (NaN) : retirez-la.")
    below, up_to = (np.searchsorted(np.sort(second), first, side) for side in ("left", "right"))
    wins = (below + up_to).sum() / 2  # une égalité : une demi-victoire
    return float(wins / (len(first) * len(second)))


def _check(confidences, correct, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    values, hits = np.asarray(confidences, float), np.asarray(correct, float)
    if values.ndim != 1 or values.shape != hits.shape or not len(values):
        raise ValueError(
            f"Confiances {values.shape} et réponses {hits.shape} : il faut deux listes de même "
            "longueur, d’au moins une réponse."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"Confiances entre {values.min()} et {values.max()} : ce doivent être des "
            "probabilités, entre 0 et 1. Appliquez softmax aux scores."
        )
    if type(n_bins) is not int or n_bins < 1:
        raise ValueError(f"n_bins = {n_bins} : il faut au moins une tranche, par exemple 10.")
    return values, hits
