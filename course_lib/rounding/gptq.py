"""L’arrondi calibré : chaque colonne arrondie, l’erreur est rattrapée par celles qui restent.

Arrondir chaque poids au plus proche rend la matrice la plus proche de W ; ce n’est pas elle que le
modèle emploie, mais ses produits W·x. GPTQ cherche donc Q qui garde ces produits sur des entrées x
réelles, celles de quelques textes :

    minimiser Σ_x ‖W·x − Q·x‖² = trace((W − Q) H (W − Q)ᵀ),     H = Σ x xᵀ

Les colonnes sont arrondies de gauche à droite. Celle que l’on vient d’arrondir laisse une erreur ;
les colonnes suivantes, encore libres, bougent un peu pour la compenser là où les entrées vont
ensemble. Le déplacement exact se lit dans la racine de Cholesky U de H⁻¹ :

    e = (w_i − q_i) / U_ii          w_j ← w_j − e·U_ij   pour j > i

Puis quelques passages de retouche : chaque colonne est arrondie à nouveau, les autres fixées, vers
ce qui minimise l’erreur d’ensemble, w_j − Σ_{k≠j} (q_k − w_k) H_kj / H_jj.

Sources : Frantar et al. 2022 (GPTQ), algorithme 1 ; Behdin et al. 2023 (QuantEase) pour les
passages. Formes : W (R, D), H (D, D).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.pretrained.gguf.packing import Packed
from course_lib.rounding.grids import Grid, Steps, lay, nearest

DAMPING = 0.01
N_PASSES = 2


@dataclass
class RoundedMatrix:
    """Une matrice arrondie : ses q (R, D), et la grille de chacun de ses blocs."""

    grid: Grid
    levels: Tensor
    steps: list[Steps]

    def values(self) -> Tensor:
        """Les poids, (R, D), exactement ceux que rendra le fichier."""
        blocks = self.levels.split(self.grid.block, 1)
        return torch.cat([steps.values(q) for steps, q in zip(self.steps, blocks, strict=True)], 1)

    def packed(self) -> Packed:
        """Les octets que le fichier contiendra."""
        blocks = self.levels.split(self.grid.block, 1)
        raws = [steps.packed(q) for steps, q in zip(self.steps, blocks, strict=True)]
        return Packed(self.grid.kind, np.stack(raws, 1).reshape(len(self.levels), -1))


def damped(hessian: Tensor, damping: float = DAMPING) -> Tensor:
    """H, un peu de sa diagonale moyenne en plus : une direction jamais vue compte quand même."""
    return hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian))


def inverse_root(hessian: Tensor) -> Tensor:
    """U, triangulaire supérieure, telle que H⁻¹ = Uᵀ U."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian.double()))
    return torch.linalg.cholesky(inverse, upper=True).to(hessian.dtype)


@torch.no_grad()
def round_matrix(
    w: Tensor, hessian: Tensor, grid: Grid, damping: float = DAMPING, n_passes: int = N_PASSES
) -> RoundedMatrix:
    """Arrondit W sur une grille en gardant ses produits avec les entrées dont H est le moment.

    `damping` : la part de la diagonale moyenne ajoutée à H ; `n_passes` : les retouches.
    """
    hessian = damped(hessian, damping)
    matrix = _left_to_right(w, inverse_root(hessian), grid)
    for _ in range(n_passes):
        _touch_up(matrix, w, hessian)
    return matrix


def _left_to_right(target: Tensor, root: Tensor, grid: Grid) -> RoundedMatrix:
    """L’algorithme de GPTQ : d’une colonne à la suivante."""
    w, levels = target.clone(), torch.empty_like(target)
    weights = root.diagonal() ** -2  # ce que coûte l’erreur d’une colonne, le reste compensé
    all_steps = []
    for start in range(0, w.shape[1], grid.block):
        block_end = start + grid.block
        steps = lay(grid, w[:, start:block_end], weights[start:block_end])
        for group in range(grid.n_groups):
            first, end = start + group * grid.group, start + (group + 1) * grid.group
            steps.refine(w[:, first:end], weights[first:end], group)  # w a bougé depuis
            step, shift = steps.of(group)
            errors = torch.empty(len(w), grid.group)
            for i in range(first, end):
                levels[:, i] = nearest(grid, w[:, i, None], step, shift)[:, 0]
                error = (w[:, i] - (step * levels[:, i] - shift)) / root[i, i]
                w[:, i:end] -= error[:, None] * root[i, i:end]
                errors[:, i - first] = error
            w[:, end:] -= errors @ root[first:end, end:]  # les groupes suivants, d’un seul produit
        all_steps.append(steps)
    return RoundedMatrix(grid, levels, all_steps)


def _touch_up(matrix: RoundedMatrix, target: Tensor, hessian: Tensor) -> None:
    """Arrondit à nouveau chaque colonne, les autres fixées ; la grille ne bouge pas."""
    grid = matrix.grid
    errors = matrix.values() - target
    for block, steps in enumerate(matrix.steps):
        for group in range(grid.n_groups):
            step, shift = steps.of(group)
            first = block * grid.block + group * grid.group
            for j in range(first, first + grid.group):
                slope = errors @ hessian[j]  # (R,) : la moitié de la pente de l’erreur d’ensemble
                wanted = target[:, j] + errors[:, j] - slope / hessian[j, j]
                levels = nearest(grid, wanted[:, None], step, shift)[:, 0]
                errors[:, j] = step * levels - shift - target[:, j]
                matrix.levels[:, j] = levels
