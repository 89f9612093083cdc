"""Des scores au mot suivant : les réglages du tirage, un par fonction.

Chaque fonction prend des scores (…, V) et rend des scores de même forme ; un jeton écarté reçoit
−∞, donc une probabilité nulle. Leur ordre compte : c’est celui de la bibliothèque `transformers`.

    scores → pénalité de répétition → température → top-k → top-p → min-p → softmax
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SamplingConfig:
    """Réglages du tirage ; par défaut, on tire dans la distribution même du modèle.

    `temperature` : divise les scores ; 0 choisit toujours le jeton le plus probable (gloutonne).
    `top_k` : ne garde que les k jetons les plus probables.
    `top_p` : garde les plus probables, jusqu’à réunir cette part de la probabilité.
    `min_p` : écarte ceux dont la probabilité est sous `min_p` fois la plus grande.
    `repetition_penalty` : au-dessus de 1, décourage les jetons déjà présents.
    ValueError si un réglage est impossible.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not (math.isfinite(self.temperature) and self.temperature >= 0.0):
            raise ValueError(
                f"temperature = {self.temperature} : il faut un nombre fini, positif ou nul. "
                "Donnez 0 pour toujours choisir le jeton le plus probable, 1 pour ne rien changer."
            )
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise ValueError(
                f"top_k = {self.top_k} : il faut un entier d’au moins 1, ou None pour garder tous "
                "les jetons."
            )
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(
                f"top_p = {self.top_p} : c’est une part de la probabilité, dans ]0, 1]. Donnez "
                "None pour garder tous les jetons."
            )
        if self.min_p is not None and not 0.0 <= self.min_p <= 1.0:
            raise ValueError(
                f"min_p = {self.min_p} : c’est une fraction de la plus grande probabilité, dans "
                "[0, 1]. Donnez None pour garder tous les jetons."
            )
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0.0):
            raise ValueError(
                f"repetition_penalty = {self.repetition_penalty} : il faut un nombre fini et "
                "strictement positif. Donnez 1 pour ne rien changer."
            )


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divise les scores : sous 1, l’écart se creuse ; au-dessus, il se réduit."""
    # La plus grande vaut alors 0 : une température minuscule ne fait déborder aucun score.
    return (logits - logits.amax(dim=-1, keepdim=True)) / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Ne garde que les k plus grands scores (et leurs ex æquo). Source : Fan et al. 2018."""
    threshold = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < threshold, -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Garde le plus petit groupe de jetons probables qui réunit la part p de la probabilité.

    Un jeton reste si ceux qui le devancent ne font pas déjà p : il en reste donc toujours un.
    Source : Holtzman et al. 2020.
    """
    ranked, order = logits.sort(dim=-1, descending=True)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    removed = before >= p
    removed[..., 0] = False
    return logits.masked_fill(removed.scatter(-1, order, removed), -math.inf)


def keep_min_p(logits: Tensor, min_p: float) -> Tensor:
    """Écarte les jetons de probabilité inférieure à min_p × la plus grande.

    Source : Nguyen et al. 2024.
    """
    probabilities = logits.softmax(dim=-1)
    threshold = min_p * probabilities.amax(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < threshold, -math.inf)


def penalize_repetitions(
    logits: Tensor, previous_ids: Sequence[int] | Sequence[Sequence[int]], penalty: float
) -> Tensor:
    """Rend moins probables les jetons déjà présents : score / pénalité, ou × s’il est négatif.

    `previous_ids` : une suite d’ids, ou une par ligne si les scores sont (B, V).
    Source : Keskar et al. 2019, §4.1.
    """
    present = torch.zeros_like(logits, dtype=torch.bool)
    if logits.ndim == 1:
        present[list(previous_ids)] = True
    else:
        for row, ids in zip(present, previous_ids, strict=True):
            row[list(ids)] = True
    penalized = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(present, penalized, logits)


def next_distribution(
    logits: Tensor,
    sampling: SamplingConfig | None = None,
    previous_ids: Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Probabilités du jeton suivant, tous réglages appliqués ; de la forme des scores.

    `logits` : (V,) ou (B, V). `previous_ids` : les jetons déjà présents (une suite par ligne),
    nécessaires à la pénalité de répétition. ValueError s’ils manquent.
    """
    sampling = sampling or SamplingConfig()
    logits = penalized_logits(logits, sampling, previous_ids)
    if sampling.temperature == 0.0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    if sampling.temperature != 1.0:
        logits = apply_temperature(logits, sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None and sampling.top_p < 1.0:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    return logits.softmax(dim=-1)


def penalized_logits(
    logits: Tensor,
    sampling: SamplingConfig,
    previous_ids: Sequence[int] | Sequence[Sequence[int]] | None,
) -> Tensor:
    """Les scores après la seule pénalité de répétition : le choix glouton en part."""
    if sampling.repetition_penalty == 1.0:
        return logits
    if previous_ids is None:
        raise ValueError(
            f"repetition_penalty = {sampling.repetition_penalty} a besoin des jetons déjà "
            "présents : donnez previous_ids, ou laissez la pénalité à 1."
        )
    return penalize_repetitions(logits, previous_ids, sampling.repetition_penalty)


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Un jeton par ligne, (B,), tiré des probabilités (B, V) par les nombres (B,) de [0, 1[.

    On range les jetons bout à bout sur un segment, chacun long comme sa probabilité ; le nombre
    tiré tombe sur l’un d’eux. Un jeton de probabilité nulle n’est jamais choisi.
    """
    ends = probabilities.double().cumsum(dim=-1)  # (B, V) : où finit chaque jeton
    targets = uniforms[:, None] * ends[:, -1:]  # la somme vaut 1 à un arrondi près
    return torch.searchsorted(ends, targets, right=True)[:, 0].clamp(max=ends.shape[-1] - 1)
