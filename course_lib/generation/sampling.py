"""Des scores au mot suivant : les réglages du tirage, un par fonction.

Chaque fonction prend des scores (…, V) et rend des scores de même forme ; un jeton écarté reçoit
−∞, donc une probabilité nulle. Leur ordre compte : c’est celui de la bibliothèque `transformers`.

    scores → pénalité de répétition → température → top-k → top-p → min-p → softmax
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from course_lib.generation.nucleus import SORTED_AT_ONCE, kth_largest, nucleus_mask
from course_lib.transformer.precision import widened


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
        for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
            _check_number(name, getattr(self, name), optional=name in ("top_p", "min_p"))
        if not (math.isfinite(self.temperature) and self.temperature >= 0.0):
            raise ValueError(
                f"temperature = {self.temperature} : il faut un nombre fini, positif ou nul. "
                "Donnez 0 pour toujours choisir le jeton le plus probable, 1 pour ne rien changer."
            )
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise ValueError(
                f"top_k = {self.top_k!r} : il faut un entier d’au moins 1, ou None pour garder "
                "tous les jetons."
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


def _check_number(name: str, value: object, optional: bool) -> None:
    """TypeError si ce n’est pas un nombre réel : True vaudrait 1 sans qu’on l’ait voulu."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} = {value!r} : il faut un nombre, par exemple 0.8"
            + (", ou None pour ne rien écarter." if optional else ".")
        )


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divise les scores : sous 1, l’écart se creuse ; au-dessus, il se réduit."""
    # La plus grande vaut alors 0 : une température minuscule ne fait déborder aucun score. Plus
    # petite que le plus petit nombre normal, elle s’arrondirait à 0, et 0 / 0 n’est pas un nombre.
    temperature = max(temperature, torch.finfo(logits.dtype).tiny)
    return (logits - logits.amax(dim=-1, keepdim=True)) / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Ne garde que les k plus grands scores (et leurs ex æquo). Source : Fan et al. 2018."""
    return _keep(logits, _top_k_mask(logits, k))


def _top_k_mask(logits: Tensor, k: int) -> Tensor:
    return logits >= kth_largest(logits, min(k, logits.shape[-1]))


def _keep(logits: Tensor, kept: Tensor) -> Tensor:
    """Les scores gardés, et −∞ ailleurs."""
    return torch.where(kept, logits, logits.new_tensor(-math.inf))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Garde le plus petit groupe de jetons probables qui réunit la part p de la probabilité.

    Un jeton reste si ceux qui le devancent ne font pas déjà p : il en reste donc toujours un. De
    deux ex æquo, le plus petit id devance l’autre. Source : Holtzman et al. 2020.
    """
    return _keep(logits, nucleus_mask(logits, p))


def keep_min_p(logits: Tensor, min_p: float) -> Tensor:
    """Écarte les jetons de probabilité inférieure à min_p × la plus grande.

    Source : Nguyen et al. 2025.
    """
    return _keep(logits, _min_p_mask(logits, min_p))


def _min_p_mask(logits: Tensor, min_p: float) -> Tensor:
    least = math.log(min_p) if min_p > 0.0 else -math.inf
    return logits >= logits.amax(dim=-1, keepdim=True) + least


def penalize_repetitions(
    logits: Tensor, previous_ids: Sequence[int] | Sequence[Sequence[int]], penalty: float
) -> Tensor:
    """Rend moins probables les jetons déjà présents : score / pénalité, ou × s’il est négatif.

    L’article divise tous les scores ; multiplier les négatifs est la retouche de `transformers`.

    `previous_ids` : une suite d’ids, ou une par ligne si les scores sont (B, V).
    Source : Keskar et al. 2019, §4.1.
    """
    rows = [previous_ids] if logits.ndim == 1 else previous_ids
    penalized = logits.reshape(-1, logits.shape[-1]).clone()
    checked = _checked_rows(rows, *penalized.shape, device=logits.device)
    for row, ids in zip(penalized, checked, strict=True):
        scores = row[ids]
        row[ids] = torch.where(scores < 0, scores * penalty, scores / penalty)
    return penalized.view(logits.shape)


def _checked_rows(
    rows: Sequence[Sequence[int]], n_rows: int, vocab_size: int, device: torch.device
) -> list[Tensor]:
    """Les ids différents de chaque ligne ; ValueError s’il en manque une ou s’ils débordent."""
    if len(rows) != n_rows:
        raise ValueError(
            f"previous_ids : {len(rows)} suites d’ids pour {n_rows} lignes de scores. Donnez-en "
            "une par ligne."
        )
    checked = []
    for row in rows:
        ids = sorted(set(row.tolist() if isinstance(row, Tensor) else row))
        if ids and not 0 <= ids[0] <= ids[-1] < vocab_size:
            raise ValueError(
                f"previous_ids va de {ids[0]} à {ids[-1]}, et le vocabulaire de 0 à "
                f"{vocab_size - 1}. Le texte a-t-il été découpé par le tokenizer du modèle ?"
            )
        checked.append(torch.tensor(ids, dtype=torch.long, device=device))
    return checked


def next_distribution(
    logits: Tensor,
    sampling: SamplingConfig | None = None,
    previous_ids: Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Probabilités du jeton suivant, tous réglages appliqués ; de la forme des scores.

    `logits` : (V,) ou (B, V). `previous_ids` : les jetons déjà présents (une suite par ligne),
    nécessaires à la pénalité de répétition. En demi-précision, le calcul se fait en fp32.
    ValueError s’ils manquent, ou si aucun score n’est un nombre ; TypeError si `sampling` n’est pas
    un SamplingConfig.
    """
    sampling, logits = check_sampling(sampling), single_precision(logits)
    check_scores(logits)
    logits = penalized_logits(logits, sampling, previous_ids)
    if sampling.temperature == 0.0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    if sampling.temperature != 1.0:
        logits = apply_temperature(logits, sampling.temperature)
    masks = _masks(sampling)
    if masks and logits.shape[-1] > SORTED_AT_ONCE and logits.device.type == "cpu":
        rows = logits.reshape(-1, logits.shape[-1])
        return torch.stack([_of_the_few(row, masks) for row in rows]).view(logits.shape)
    for mask in masks:
        logits = _keep(logits, mask(logits))
    return logits.softmax(dim=-1)


def _masks(sampling: SamplingConfig) -> list[Callable[[Tensor], Tensor]]:
    """Les filtres demandés, dans l’ordre : chacun dit quels jetons il garde."""
    masks = []
    if sampling.top_k is not None:
        masks.append(partial(_top_k_mask, k=sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        masks.append(partial(nucleus_mask, p=sampling.top_p))
    if sampling.min_p is not None:
        masks.append(partial(_min_p_mask, min_p=sampling.min_p))
    return masks


def _of_the_few(row: Tensor, masks: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """La distribution (V,) d’un grand vocabulaire : seuls les jetons gardés sont recalculés."""
    ids, scores = None, row
    for mask in masks:
        kept = torch.from_numpy(np.flatnonzero(mask(scores).numpy()))
        ids, scores = kept if ids is None else ids[kept], scores[kept]
    return torch.zeros_like(row).index_copy_(0, ids, scores.softmax(dim=0))


def check_sampling(sampling: SamplingConfig | None) -> SamplingConfig:
    """Les réglages ; ceux par défaut pour None. TypeError pour tout le reste."""
    if sampling is None:
        return SamplingConfig()
    if not isinstance(sampling, SamplingConfig):
        raise TypeError(
            f"sampling = {sampling!r} : il faut un SamplingConfig, par exemple "
            "SamplingConfig(temperature=0.8), ou None."
        )
    return sampling


def single_precision(logits: Tensor) -> Tensor:
    """Les scores en fp32 s’ils sont en demi-précision ; TypeError si ce ne sont pas des réels."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(
            "Les scores doivent être un tenseur de nombres à virgule, (V,) ou (B, V) ; reçu "
            f"{logits.dtype if isinstance(logits, Tensor) else type(logits).__name__}."
        )
    return widened(logits)


def check_scores(logits: Tensor) -> None:
    """ValueError si un score est indéfini ou +∞, ou si tous sont −∞ ; −∞ seul écarte un jeton."""
    if not bool(logits.amax(dim=-1).isfinite().all()):  # un seul NaN rend le maximum NaN
        raise ValueError(
            "Le modèle rend des scores qui ne sont pas des nombres finis : ses poids sont "
            "abîmés. Relisez-les, ou reprenez un entraînement qui n’a pas divergé."
        )


def scored_ids(ids: Sequence[int], logits: Tensor) -> list[int]:
    """Les ids qui ont un score : une amorce apprise (`attach_soft_prompt`) se lit sans s’écrire."""
    return [token_id for token_id in ids if token_id < logits.shape[-1]]


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
    ends = probabilities.cumsum(dim=-1, dtype=torch.float64)  # (B, V) : où finit chaque jeton
    targets = uniforms[:, None] * ends[:, -1:]  # la somme vaut 1 à un arrondi près
    return torch.searchsorted(ends, targets, right=True)[:, 0].clamp(max=ends.shape[-1] - 1)
