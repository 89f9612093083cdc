"""Les noyaux numba : le produit d’une matrice de poids par quelques vecteurs.

Chaque noyau existe en deux formes, `serial` (un fil) et `threaded` (les lignes sont partagées
entre les fils) : lancer plusieurs fils prend quelques microsecondes, trop pour un petit modèle.
Ce module a besoin de numba ; le reste du paquet l’importe à la demande et sait s’en passer.
La compilation prend quelques secondes par processus. Si NUMBA_CACHE_DIR désigne un dossier, numba
l’y garde pour les suivants ; sinon il l’écrirait près de ce fichier, peut-être en lecture seule.

Un poids est un tuple de tableaux dont le premier axe est l’étage :
    flottant  (matrices (L, N, K),)
    8 bits    (entiers (L, N, K), échelles (L, N, G), un tableau vide)
    4 bits    (octets (L, N, K/2), échelles (L, N, G), minimums (L, N, G))
Formes : L étages, B textes, N sorties, K entrées, G groupes par ligne.
"""

from types import FunctionType, SimpleNamespace

import numpy as np
from numba import config, njit, prange

OPTIONS = {
    "fastmath": True,
    "nogil": True,
    "error_model": "numpy",
    "cache": bool(config.CACHE_DIR),
}


def specialize(function, suffix: str, parallel: bool = False, **names):
    """Compile une copie de `function` où chacun de `names` désigne ce qu’on lui donne.

    Le cache de numba range par nom de fonction : `suffix` distingue les copies.
    """
    copy = FunctionType(function.__code__, {**function.__globals__, **names})
    copy.__name__ = copy.__qualname__ = f"{function.__name__}_{suffix}"
    return njit(parallel=parallel, **OPTIONS)(copy)


def both_forms(kernel) -> SimpleNamespace:
    """Les deux formes compilées d’un noyau : sur un fil, et sur plusieurs."""
    return SimpleNamespace(
        serial=specialize(kernel, "serial"), threaded=specialize(kernel, "threaded", parallel=True)
    )


@njit(**OPTIONS)
def _dot_rows(row, x, out, i, n_rows):
    """out (B, N)[:, i] = x (B, K) · row (K), quatre textes à la fois."""
    grouped = n_rows - n_rows % 4
    for b in range(0, grouped, 4):
        s0 = s1 = s2 = s3 = np.float32(0.0)
        for k in range(len(row)):
            w = row[k]
            s0 += w * x[b, k]
            s1 += w * x[b + 1, k]
            s2 += w * x[b + 2, k]
            s3 += w * x[b + 3, k]
        out[b, i], out[b + 1, i], out[b + 2, i], out[b + 3, i] = s0, s1, s2, s3
    for b in range(grouped, n_rows):
        total = np.float32(0.0)
        for k in range(len(row)):
            total += row[k] * x[b, k]
        out[b, i] = total


def _project_float(weight, layer, x, out, n_rows):
    """out (B, N) = x (B, K) · weightᵀ."""
    matrix = weight[0][layer]
    for i in prange(matrix.shape[0]):
        _dot_rows(matrix[i], x, out, i, n_rows)


def _project_int8(weight, layer, x, out, n_rows):
    """Le même produit, poids sur 8 bits : chaque groupe est sommé, puis mis à l’échelle."""
    values, scales = weight[0][layer], weight[1][layer]
    n_groups, width = scales.shape[1], values.shape[1]
    size = width // n_groups
    for i in prange(values.shape[0]):
        if n_rows == 1:
            total = np.float32(0.0)
            for j in range(n_groups):
                group, part = values[i, j * size : (j + 1) * size], x[0, j * size : (j + 1) * size]
                partial = np.float32(0.0)
                for k in range(size):
                    partial += np.float32(group[k]) * part[k]
                total += partial * scales[i, j]
            out[0, i] = total
        else:  # à plusieurs textes, on reforme la ligne une fois pour tous
            row = np.empty(width, np.float32)
            for j in range(n_groups):
                for k in range(j * size, (j + 1) * size):
                    row[k] = np.float32(values[i, k]) * scales[i, j]
            _dot_rows(row, x, out, i, n_rows)


def _project_int4(weight, layer, x, out, n_rows):
    """Le même produit, deux poids par octet ; les int32 gardent la boucle vectorielle."""
    values, scales, minimums = weight[0][layer], weight[1][layer], weight[2][layer]
    n_groups, half_width = scales.shape[1], values.shape[1]
    half = half_width // n_groups
    sums = np.zeros(n_groups, np.float32)  # Σ x du groupe : le minimum n’en demande pas plus
    for j in range(n_groups):
        for k in range(2 * j * half, 2 * (j + 1) * half):
            sums[j] += x[0, k]
    for i in prange(values.shape[0]):
        if n_rows == 1:
            total = np.float32(0.0)
            for j in range(n_groups):
                group = values[i, j * half : (j + 1) * half]
                low = x[0, 2 * j * half : (2 * j + 1) * half]
                high = x[0, (2 * j + 1) * half : 2 * (j + 1) * half]
                partial = np.float32(0.0)
                for k in range(half):
                    pair = np.int32(group[k])
                    partial += np.float32(np.int32(pair & np.int32(15))) * low[k]
                    partial += np.float32(np.int32(pair >> np.int32(4))) * high[k]
                total += partial * scales[i, j] + minimums[i, j] * sums[j]
            out[0, i] = total
        else:
            row = np.empty(2 * half_width, np.float32)
            for j in range(n_groups):
                scale, minimum, start = scales[i, j], minimums[i, j], 2 * j * half
                for k in range(half):
                    pair = np.int32(values[i, j * half + k])
                    low_level = np.float32(np.int32(pair & np.int32(15)))
                    high_level = np.float32(np.int32(pair >> np.int32(4)))
                    row[start + k] = low_level * scale + minimum
                    row[start + half + k] = high_level * scale + minimum
            _dot_rows(row, x, out, i, n_rows)


PROJECTIONS = {
    "float": both_forms(_project_float),
    "int8": both_forms(_project_int8),
    "int4": both_forms(_project_int4),
}


def _sum_of_squares(values):
    """Lit un grand tableau une fois : le débit de la mémoire, à quoi comparer les noyaux."""
    n_parts = 256
    size = len(values) // n_parts
    sums = np.zeros(n_parts, np.float32)
    for part in prange(n_parts):
        chunk = values[part * size : (part + 1) * size]
        total = np.float32(0.0)
        for k in range(size):
            total += chunk[k] * chunk[k]
        sums[part] = total
    return sums.sum()


READ_ALL = both_forms(_sum_of_squares)
