"""Les meilleurs jetons d’un grand vocabulaire, sans le ranger tout entier.

Le noyau de top-p est le plus petit groupe de jetons probables qui réunit une part donnée. Ranger
les numéros de tout un vocabulaire pour n’en garder que le début coûte cher : 20 ms pour 128 000
scores. Mais il suffit de connaître le dernier score gardé. On range donc des scores sans leurs
numéros, ce que NumPy fait bien plus vite, et d’abord les seuls meilleurs ; s’ils ne réunissent pas
la part, tous. Le résultat est celui du rangement complet, ex æquo compris : le plus petit id
d’abord.
"""

import numpy as np
import torch
from torch import Tensor

SORTED_AT_ONCE = 4096  # jusqu’à cette taille, ranger tout le lot d’un coup coûte moins
_PACKET = 64
_NOTHING = 80.0  # un écart en nats : exp(−80) ne pèse rien devant le meilleur jeton
_ROUNDING = 1e-6  # part de p : la réunir à un arrondi de fp32 près, c’est l’avoir réunie


def nucleus_mask(logits: Tensor, p: float) -> Tensor:
    """Vrai sur les jetons gardés, de la forme des scores (…, V), en fp32 ou fp64.

    Un jeton reste si ceux qui le devancent ne font pas déjà p : il en reste donc toujours un.
    """
    gaps = logits.amax(dim=-1, keepdim=True) - logits
    if logits.shape[-1] <= SORTED_AT_ONCE or logits.device.type != "cpu":
        return _by_sorting(gaps, _masses(gaps), p)
    rows = gaps.view(-1, logits.shape[-1])
    kept = np.stack([_by_last_score(row, p) for row in rows])
    return torch.from_numpy(kept).view(logits.shape)


def _masses(gaps: Tensor) -> Tensor:
    """La probabilité de chaque jeton, rapportée à celle du meilleur ; exp(−∞) serait lent."""
    return gaps.clamp(max=_NOTHING).neg_().exp_()


def _by_sorting(gaps: Tensor, masses: Tensor, p: float) -> Tensor:
    order = gaps.argsort(dim=-1, stable=True)
    ranked = masses.gather(-1, order).double()
    ends = ranked.cumsum(dim=-1)
    kept = ends - ranked < p * (1.0 - _ROUNDING) * ends[..., -1:]
    kept[..., 0] = True
    return torch.zeros_like(kept).scatter(-1, order, kept)


def _by_last_score(row: Tensor, p: float) -> np.ndarray:
    """Une ligne d’écarts (V,) au meilleur score ; le dernier gardé départage ses ex æquo par id."""
    gaps, target = row.numpy(), p * (1.0 - _ROUNDING) * float(_masses(row).sum(dtype=torch.float64))
    ranked, reached = _ranked_masses(_smallest(gaps, len(gaps) // (2 * _PACKET)))
    if reached[-1] < target:
        ranked, reached = _ranked_masses(gaps)
    n_kept = min(int(np.searchsorted(reached, target)) + 1, len(ranked))
    last = ranked[n_kept - 1]
    kept = gaps < last
    n_equals = n_kept - int(np.searchsorted(ranked, last))
    kept[np.flatnonzero(gaps == last)[:n_equals]] = True
    return kept


def _ranked_masses(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Des écarts du plus petit au plus grand, et la masse réunie jusqu’à chacun."""
    ranked = np.sort(gaps)
    return ranked, _masses(torch.from_numpy(ranked)).cumsum(0, dtype=torch.float64).numpy()


def _smallest(numbers: np.ndarray, k: int) -> np.ndarray:
    """Les k plus petits nombres au moins, avec tous ceux qui ne dépassent pas le plus grand d’eux.

    Le k-ième des plus petits de chaque paquet majore le k-ième de tous : peu de nombres restent.
    """
    packets = numbers[: len(numbers) - len(numbers) % _PACKET].reshape(_PACKET, -1).min(axis=0)
    return numbers[np.flatnonzero(numbers <= np.partition(packets, k - 1)[k - 1])]


def kth_largest(logits: Tensor, k: int) -> Tensor:
    """Le k-ième plus grand score de chaque ligne, (…, V) → (…, 1) ; k ≤ V."""
    n = logits.shape[-1]
    if n <= SORTED_AT_ONCE or logits.device.type != "cpu":
        return logits.topk(k).values[..., -1:]
    rows = -logits.reshape(-1, n).numpy()
    if k <= n // (2 * _PACKET):
        rows = [_smallest(row, k) for row in rows]
    found = np.stack([-np.partition(row, k - 1)[k - 1] for row in rows])
    return torch.from_numpy(found).view(*logits.shape[:-1], 1)
