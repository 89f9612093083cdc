"""Des poids plus légers : chaque groupe de poids devient de petits entiers et une échelle.

Sur 8 bits, un groupe garde son plus grand poids en valeur absolue : w ≈ échelle × q, q de −127 à
127. Sur 4 bits, il garde son plus petit et son plus grand : w ≈ échelle × q + minimum, q de 0 à 15.
Un fichier publié peut avoir choisi ses seize niveaux lui-même, moins réguliers : q en est le rang.
Un groupe est un morceau de ligne ; par défaut, la ligne entière (une échelle par sortie).
Formes : N sorties, K entrées, G groupes par ligne, g = K / G poids par groupe.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BITS = (8, 4)


@dataclass(frozen=True)
class QuantizedWeight:
    """Une matrice (N, K) en entiers.

    `values` : (N, K) int8 sur 8 bits ; (N, K/2) uint8 sur 4 bits, deux poids par octet.
    Dans l’octet j d’un groupe, les 4 bits bas sont le poids j, les 4 bits hauts le poids j + g/2 :
    un noyau lit ainsi deux suites régulières. `scales` et `minimums` : (N, G) ; `minimums` est
    vide si l’on n’ajoute rien. `levels` : sur 4 bits, les seize niveaux (16,) int8 ; None : 0 à 15.
    """

    bits: int
    values: Tensor
    scales: Tensor
    minimums: Tensor
    levels: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K) : la forme de la matrice de départ."""
        return self.values.shape[0], self.values.shape[1] * 8 // self.bits

    @property
    def group_size(self) -> int:
        """Nombre de poids qui partagent une échelle."""
        return self.shape[1] // self.scales.shape[1]

    @property
    def n_bytes(self) -> int:
        """Octets à lire pour parcourir la matrice, échelles comprises."""
        parts = (self.values, self.scales, self.minimums)
        return sum(part.numel() * part.element_size() for part in parts)

    def ranks(self) -> Tensor:
        """Sur 4 bits, les rangs (N, K), uint8, un par octet."""
        grouped = self.values.view(*self.scales.shape, -1)  # (N, K/2) → (N, G, g/2)
        return torch.cat((grouped & 15, grouped >> 4), dim=-1).view(self.shape)

    def integers(self) -> Tensor:
        """Les niveaux (N, K), int8 : sur 4 bits, ceux que désignent les rangs."""
        if self.bits == 8:
            return self.values
        ranks = self.ranks()
        return ranks.to(torch.int8) if self.levels is None else self.levels[ranks.int()]

    def dequantize(self) -> Tensor:
        """La matrice (N, K) que ces entiers décrivent, en simple précision."""
        levels = self.integers().view(*self.scales.shape, -1)  # (N, K) → (N, G, g)
        weight = levels.float() * self.scales[..., None]
        if self.minimums.numel():
            weight = weight + self.minimums[..., None]
        return weight.view(self.shape)


@torch.no_grad()
def quantize_weight(
    weight: Tensor, bits: int = 8, group_size: int | None = None
) -> QuantizedWeight:
    """Arrondit une matrice (N, K) sur `bits` bits ; `group_size` None : une échelle par ligne.

    L’erreur d’un poids est d’au plus une demi-échelle de son groupe. ValueError si `bits` n’est ni
    8 ni 4, si les groupes ne pavent pas la ligne, ou si un poids n’est pas un nombre.
    """
    if bits not in BITS:
        raise ValueError(f"bits = {bits} : on sait ranger un poids sur 8 ou sur 4 bits.")
    if weight.ndim != 2:
        raise ValueError(f"Le poids a la forme {tuple(weight.shape)} ; il faut une matrice (N, K).")
    width = weight.shape[1]
    size = width if group_size is None else group_size
    if size < 1 or width % size or (bits == 4 and size % 2):
        even = " et soit pair" if bits == 4 else ""
        raise ValueError(
            f"group_size = {size} : il faut une taille qui divise la ligne de {width} poids{even}."
        )
    if not bool(weight.isfinite().all()):
        raise ValueError(
            "Un poids n’est pas un nombre fini : l’entraînement a-t-il divergé ? "
            "Revenez à un point de reprise antérieur."
        )
    grouped = weight.detach().float().unflatten(1, (-1, size))  # (N, K) → (N, G, g)
    if bits == 8:
        scales = grouped.abs().amax(dim=-1) / 127
        levels = (grouped / _nonzero(scales)).round().to(torch.int8)
        return QuantizedWeight(8, levels.flatten(1), scales, scales.new_empty(0))
    minimums = grouped.amin(dim=-1)
    scales = (grouped.amax(dim=-1) - minimums) / 15
    ranks = ((grouped - minimums[..., None]) / _nonzero(scales)).round().to(torch.uint8)
    return QuantizedWeight(4, pack_ranks(ranks.flatten(1), scales.shape[1]), scales, minimums)


def pack_ranks(ranks: Tensor, n_groups: int) -> Tensor:
    """Des rangs de 4 bits (N, K), uint8, deux par octet : (N, K/2), comme `QuantizedWeight`."""
    low, high = ranks.unflatten(1, (n_groups, -1)).chunk(2, dim=-1)  # (N, G, g) → deux (N, G, g/2)
    return (low | high << 4).flatten(1)


def _nonzero(scales: Tensor) -> Tensor:
    """Un groupe de poids tous égaux a une échelle nulle : on y divise par 1."""
    return torch.where(scales == 0, 1, scales)[..., None]
