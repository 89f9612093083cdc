"""Les noyaux numba : le produit d’une matrice de poids par quelques vecteurs.

Un seul noyau compilé sert à tous les rangements (poids flottants, sur 8 bits, sur 4 bits) et à tout
nombre de fils : numba le compile une fois par processus, ou une fois pour toutes si NUMBA_CACHE_DIR
désigne un dossier ; sinon il l’écrirait près de ce fichier, peut-être en lecture seule. Ce module a
besoin de numba ; le reste du paquet l’importe à la demande et sait s’en passer.

Un poids est le tuple que rend `layout.stack`.
Formes : L étages, B textes, N sorties, K entrées, G groupes par ligne.
"""

import numpy as np
from numba import config, njit, prange

from course_lib.acceleration.layout import BLOCK
from course_lib.acceleration.vectors import (
    add_products,
    as_levels,
    high_levels,
    load_bytes,
    low_levels,
    no_totals,
    store_weights,
    sum_totals,
)

OPTIONS = {
    "fastmath": True,
    "nogil": True,
    "error_model": "numpy",
    "cache": bool(config.CACHE_DIR),
}


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


@njit(**OPTIONS)
def _project_float(matrix, x, out, n_rows, first, last):
    """out (B, N) = x (B, K) · matrixᵀ, pour les lignes de `first` à `last`."""
    for i in range(first, last):
        _dot_rows(matrix[i], x, out, i, n_rows)


# Aucun appel ni aucune tranche dans les boucles qui suivent : numba compterait les références à
# chaque ligne, et cela coûterait autant que de la lire.
@njit(**OPTIONS)
def _dot_floats(matrix, x, out, first, last):
    """Le même produit, pour un seul texte : out (1, N)."""
    for i in range(first, last):
        total = np.float32(0.0)
        for k in range(matrix.shape[1]):
            total += matrix[i, k] * x[0, k]
        out[0, i] = total


@njit(**OPTIONS)
def _dot_4_bits(codes, n_bytes, tables, table, x, factors, rank, n_factors, step, out, first, last):
    """out (1, N) : chaque ligne par un vecteur, 32 poids à la fois, que désignent 16 octets.

    `table`, `rank` : où sont les niveaux et les échelles de la ligne 0 ; `n_factors` : de combien
    les échelles avancent d’une ligne à l’autre ; `step` : échelles pour 32 poids, une ou deux.
    """
    for i in range(first, last):
        even, odd = no_totals(), no_totals()
        levels, g = load_bytes(tables, table + 16 * i), rank + n_factors * i
        for start in range(i * n_bytes, (i + 1) * n_bytes, 16):
            pairs, k = load_bytes(codes, start), 2 * (start - i * n_bytes)
            even = add_products(even, low_levels(levels, pairs), x, k, factors, g)
            odd = add_products(odd, high_levels(levels, pairs), x, k + 16, factors, g + step - 1)
            g += step
        out[0, i] = sum_totals(even, odd)


@njit(**OPTIONS)
def _dot_8_bits(codes, n_bytes, x, factors, rank, n_factors, step, out, first, last):
    """Le même produit, un octet par poids."""
    for i in range(first, last):
        even, odd = no_totals(), no_totals()
        g = rank + n_factors * i
        for start in range(i * n_bytes, (i + 1) * n_bytes, BLOCK):
            k = start - i * n_bytes
            even = add_products(even, as_levels(load_bytes(codes, start)), x, k, factors, g)
            levels = as_levels(load_bytes(codes, start + 16))
            odd = add_products(odd, levels, x, k + 16, factors, g + step - 1)
            g += step
        out[0, i] = sum_totals(even, odd)


@njit(**OPTIONS)
def _unpack(bits, codes, start, table, factors, shifts, n_blocks, step, row):
    """Reforme une ligne de poids, qui servira à tous les textes d’un lot."""
    for block in range(n_blocks):
        k, g, h = BLOCK * block, step * block, step * block + step - 1
        if bits == 4:
            pairs = load_bytes(codes, start + 16 * block)
            first, second = low_levels(table, pairs), high_levels(table, pairs)
        else:
            first = as_levels(load_bytes(codes, start + k))
            second = as_levels(load_bytes(codes, start + k + 16))
        store_weights(row, k, first, factors[g], shifts[g])
        store_weights(row, k + 16, second, factors[h], shifts[h])


@njit(**OPTIONS)
def _complete(x, width, n_groups, size):
    """Un vecteur suivi de zéros, et la somme de chaque groupe : ce que multiplie son minimum."""
    inputs, sums = np.zeros(n_groups * size, np.float32), np.zeros(n_groups, np.float32)
    inputs[:width] = x[:width]
    for g in range(n_groups):
        for k in range(g * size, (g + 1) * size):
            sums[g] += inputs[k]
    return inputs, sums


@njit(**OPTIONS)
def _project_vector(weight, layer, x, out, first, last):
    """out (1, N) = x (1, K) · weightᵀ, poids entiers, lus tels quels."""
    _, codes, tables, scales, minimums, bits, width = weight
    n_outputs, n_bytes, n_scales = codes.shape[1], codes.shape[2], scales.shape[2]
    n_blocks = n_bytes * 8 // bits // BLOCK
    step = max(1, n_scales // n_blocks)
    n_groups = n_blocks * step
    one_scale = n_scales < n_groups
    inputs, sums = _complete(x[0], width, n_groups, BLOCK // step)
    factors, rank, n_factors = scales.reshape(-1), layer * n_outputs * n_scales, n_scales
    if one_scale:
        factors, rank, n_factors = np.ones(n_groups, np.float32), 0, 0
    flat, table = codes[layer].reshape(-1), layer * n_outputs * 16
    if bits == 4:
        levels = tables.reshape(-1)
        _dot_4_bits(
            flat, n_bytes, levels, table, inputs, factors, rank, n_factors, step, out, first, last
        )
    else:
        _dot_8_bits(flat, n_bytes, inputs, factors, rank, n_factors, step, out, first, last)
    if one_scale:
        for i in range(first, last):
            out[0, i] *= scales[layer, i, 0]
    if minimums.shape[2] > 0:
        for i in range(first, last):
            for g in range(n_groups):
                out[0, i] += minimums[layer, i, 0 if one_scale else g] * sums[g]


@njit(**OPTIONS)
def _project_batch(weight, layer, x, out, n_rows, first, last):
    """out (B, N) = x (B, K) · weightᵀ, poids entiers : une ligne reformée sert à tout le lot."""
    _, codes, tables, scales, minimums, bits, width = weight
    n_outputs, n_bytes, n_scales = codes.shape[1], codes.shape[2], scales.shape[2]
    n_blocks = n_bytes * 8 // bits // BLOCK
    step = max(1, n_scales // n_blocks)
    n_groups = n_blocks * step
    one_scale = n_scales < n_groups
    factors, shifts = np.empty(n_groups, np.float32), np.zeros(n_groups, np.float32)
    row = np.empty(BLOCK * n_blocks, np.float32)
    flat, levels = codes[layer].reshape(-1), tables.reshape(-1)
    for i in range(first, last):
        for g in range(n_groups):
            factors[g] = scales[layer, i, 0 if one_scale else g]
            if minimums.shape[2] > 0:
                shifts[g] = minimums[layer, i, 0 if one_scale else g]
        table = load_bytes(levels, 16 * (layer * n_outputs + i))
        _unpack(bits, flat, i * n_bytes, table, factors, shifts, n_blocks, step, row)
        _dot_rows(row[:width], x, out, i, n_rows)


@njit(**OPTIONS)
def _project_rows(weight, layer, x, out, n_rows, first, last):
    if weight[5] == 32 and n_rows == 1:
        _dot_floats(weight[0][layer], x, out, first, last)
    elif weight[5] == 32:
        _project_float(weight[0][layer], x, out, n_rows, first, last)
    elif n_rows == 1:
        _project_vector(weight, layer, x, out, first, last)
    else:
        _project_batch(weight, layer, x, out, n_rows, first, last)


@njit(parallel=True, **OPTIONS)
def _share_rows(weight, layer, x, out, n_rows, n_threads):
    """Les lignes de la matrice, partagées entre les fils."""
    n_outputs = out.shape[1]
    for part in prange(n_threads):
        first, last = part * n_outputs // n_threads, (part + 1) * n_outputs // n_threads
        _project_rows(weight, layer, x, out, n_rows, first, last)


@njit(**OPTIONS)
def project(weight, layer, x, out, n_rows, n_threads):
    """out (B, N) = x (B, K) · weightᵀ.

    Lancer plusieurs fils prend quelques microsecondes, trop pour un petit modèle : `n_threads` est
    un choix.
    """
    if n_threads == 1:
        _project_rows(weight, layer, x, out, n_rows, 0, out.shape[1])
    else:
        _share_rows(weight, layer, x, out, n_rows, n_threads)


@njit(**OPTIONS)
def _sum_squares(values):
    total = np.float32(0.0)
    for k in range(len(values)):
        total += values[k] * values[k]
    return total


@njit(parallel=True, **OPTIONS)
def read_all(values, n_threads):
    """Lit un grand tableau une fois : le débit de la mémoire, à quoi comparer les noyaux."""
    sums, n = np.zeros(n_threads, np.float32), len(values)
    for part in prange(n_threads):
        sums[part] = _sum_squares(values[part * n // n_threads : (part + 1) * n // n_threads])
    return sums.sum()
