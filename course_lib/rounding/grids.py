"""Les grilles des formats à blocs : quelles valeurs un poids arrondi peut prendre.

Un bloc de 256 poids (32 en Q8_0) porte une échelle d sur 16 bits ; il se partage en groupes, chacun
avec une petite échelle entière s et, en Q4_K, un minimum entier m. Les valeurs permises sont

    w = (d·s)·q               Q3_K : q de −4 à 3, groupes de 16, s sur 6 bits
                              IQ4_XS : q parmi seize entiers inégalement espacés, groupes de 32
                              Q8_0 : q de −127 à 127, un seul groupe, s = 1
    w = (d·s)·q − dmin·m      Q4_K : q de 0 à 15, groupes de 32, s et m sur 6 bits

Choisir d, s et m, c’est poser la grille ; arrondir, c’est prendre le q le plus proche. L’erreur se
pèse : un poids dont dépend davantage la sortie compte davantage.
Formes : R lignes, G groupes d’un bloc, g poids d’un groupe ; un bloc a G × g poids.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from course_lib.pretrained.gguf.blocks import BLOCKS
from course_lib.pretrained.gguf.levels import IQ4_LEVELS
from course_lib.pretrained.gguf.packing import pack_blocks

# Ce qu’il reste de l’étendue d’un groupe : en couper les extrêmes resserre les autres valeurs.
SHRINKS = (1.1, 1.05, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)
NEIGHBOURS = (0, -1, 1, -2, 2)


@dataclass(frozen=True)
class Grid:
    """Un format : `levels`, les q permis ; `scales`, les bornes de s ; `has_minimum` (Q4_K)."""

    kind: str
    group: int
    levels: tuple[int, ...]
    scales: tuple[int, int]
    has_minimum: bool = False

    @property
    def block(self) -> int:
        """Nombre de poids d’un bloc."""
        return BLOCKS[self.kind].n_values

    @property
    def n_groups(self) -> int:
        """Nombre de groupes d’un bloc."""
        return self.block // self.group


GRIDS: dict[str, Grid] = {
    grid.kind: grid
    for grid in (
        Grid("Q3_K", 16, tuple(range(-4, 4)), (-32, 31)),
        Grid("IQ4_XS", 32, IQ4_LEVELS, (-32, 31)),
        Grid("Q4_K", 32, tuple(range(16)), (0, 63), has_minimum=True),
        Grid("Q8_0", 32, tuple(range(-127, 128)), (1, 1)),
    )
}


def find_grid(kind: str) -> Grid:
    """La grille de ce format ; ValueError, avec la liste, si l’on ne sait pas y arrondir."""
    if kind not in GRIDS:
        raise ValueError(
            f"On ne sait pas arrondir en {kind!r} : choisissez parmi {', '.join(GRIDS)}."
        )
    return GRIDS[kind]


@dataclass
class Steps:
    """La grille posée sur un bloc de chaque ligne : d et dmin (R,), s et m (R, G), entiers."""

    grid: Grid
    d: Tensor
    dmin: Tensor
    scales: Tensor
    minimums: Tensor

    def of(self, group: int | slice) -> tuple[Tensor, Tensor]:
        """Le pas et le décalage de ces groupes, (R, …) : w = pas·q − décalage."""
        d, dmin = (t if isinstance(group, int) else t[:, None] for t in (self.d, self.dmin))
        return d * self.scales[:, group], dmin * self.minimums[:, group]

    def values(self, levels: Tensor) -> Tensor:
        """Les poids que disent les q d’un bloc entier, (R, bloc)."""
        step, shift = (part[..., None] for part in self.of(slice(None)))
        return (step * levels.unflatten(1, (self.grid.n_groups, -1)) - shift).flatten(1)

    def packed(self, levels: Tensor) -> np.ndarray:
        """Les octets (R, octets d’un bloc) que le fichier contiendra pour ces q."""
        integers = {"levels": levels, "scales": self.scales}
        floats = {"d": self.d}
        if self.grid.has_minimum:
            integers["minimums"], floats["dmin"] = self.minimums, self.dmin
        arrays = {name: tensor.int().numpy() for name, tensor in integers.items()}
        return pack_blocks(self.grid.kind, **arrays, **{n: t.numpy() for n, t in floats.items()})

    def refine(self, w: Tensor, weights: Tensor, group: int) -> None:
        """Choisit à nouveau s (et m) d’un groupe, d restant fixe : `w` (R, g), `weights` (g,)."""
        low, high = self.grid.scales
        scale, minimum = self.scales[:, group].clone(), self.minimums[:, group].clone()
        shifts = NEIGHBOURS[:3] if self.grid.has_minimum else (0,)
        best = None
        for ds, dm in product(NEIGHBOURS, shifts):
            s = (scale + ds).clamp(low, high)
            m = (minimum + dm).clamp(0, high)
            error = _error(self.grid, w, weights, self.d * s, self.dmin * m)
            if best is None:
                best = error
            better = error < best
            best = torch.where(better, error, best)
            self.scales[:, group] = torch.where(better, s, self.scales[:, group])
            self.minimums[:, group] = torch.where(better, m, self.minimums[:, group])


def nearest(grid: Grid, w: Tensor, step: Tensor, shift: Tensor) -> Tensor:
    """Le q permis le plus proche, (R, g), d’après le pas et le décalage de chaque ligne, (R,)."""
    step = torch.where(step == 0, 1, step)[:, None]
    target = (w + shift[:, None]) / step
    return snap(grid, target)


def snap(grid: Grid, target: Tensor) -> Tensor:
    """Le q permis le plus proche de chaque nombre."""
    levels = torch.tensor(grid.levels, dtype=target.dtype)
    if len(levels) == levels[-1] - levels[0] + 1:  # des entiers qui se suivent
        return target.round().clamp(levels[0], levels[-1])
    return levels[torch.bucketize(target, (levels[1:] + levels[:-1]) / 2)]


def lay(grid: Grid, w: Tensor, weights: Tensor) -> Steps:
    """Pose la grille sur un bloc : `w` (R, bloc), `weights` (bloc,), ce que pèse chaque poids."""
    groups = w.unflatten(1, (grid.n_groups, grid.group))  # (R, G, g)
    weights = weights.unflatten(0, (grid.n_groups, grid.group))
    lay_group = _lay_with_minimum if grid.has_minimum else _lay_signed
    pairs = [lay_group(grid, groups[:, k], weights[k]) for k in range(grid.n_groups)]
    scale, minimum = (torch.stack(column, 1) for column in zip(*pairs, strict=True))  # (R, G)
    d, scales = _share(scale, *grid.scales)
    dmin, minimums = _share(minimum, 0, grid.scales[1])
    steps = Steps(grid, d, dmin, scales, minimums)
    for k in range(grid.n_groups):
        steps.refine(groups[:, k], weights[k], k)
    return steps


def _error(grid: Grid, w: Tensor, weights: Tensor, step: Tensor, shift: Tensor) -> Tensor:
    """Ce que coûte d’arrondir chaque ligne, (R,)."""
    q = nearest(grid, w, step, shift)
    return ((w - (step[:, None] * q - shift[:, None])).square() * weights).sum(1)


def _share(wanted: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Une échelle de 16 bits par bloc et des entiers : wanted (R, G) ≈ d·entiers."""
    if low == high:
        return wanted[:, 0].half().float(), torch.full_like(wanted, low)
    largest = wanted.gather(1, wanted.abs().argmax(1, keepdim=True))[:, 0]
    d = (largest / (low or high)).half().float()
    return d, (wanted / torch.where(d == 0, 1, d)[:, None]).round().clamp(low, high)


def _lay_signed(grid: Grid, w: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Le pas d’un groupe sans minimum : le plus grand poids va à l’un ou l’autre bout."""
    extreme = w.gather(1, w.abs().argmax(1, keepdim=True))[:, 0]
    best = step = torch.zeros_like(extreme)
    for end, shrink in product((grid.levels[0], grid.levels[-1]), SHRINKS):
        trial = extreme / end * shrink
        q = nearest(grid, w, trial, torch.zeros_like(trial))
        # À q fixés, le meilleur pas est une moyenne pondérée ; il ôte `gain` à l’erreur.
        dot, norm = (weights * w * q).sum(1), (weights * q.square()).sum(1)
        gain = torch.where(norm > 0, dot.square() / norm, 0)
        better = gain > best
        best = torch.where(better, gain, best)
        step = torch.where(better, dot / norm, step)
    return step, torch.zeros_like(step)


def _lay_with_minimum(grid: Grid, w: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Le pas et le minimum (≥ 0) d’un groupe, l’étendue plus ou moins resserrée."""
    low, high = w.amin(1).clamp(max=0), w.amax(1).clamp(min=0)
    best = None
    for shrink_low, shrink_high in product(SHRINKS[2:8:2], SHRINKS[2:8:2]):
        minimum = -low * shrink_low
        step = (high * shrink_high + minimum) / grid.levels[-1]
        error = _error(grid, w, weights, step, minimum)
        if best is None:
            best, kept = error, (step, minimum)
        better = error < best
        best = torch.where(better, error, best)
        kept = (torch.where(better, step, kept[0]), torch.where(better, minimum, kept[1]))
    return kept
