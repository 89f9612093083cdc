"""Lire un jeton d’un seul appel compilé : un décodeur de type Llama, du vecteur aux scores.

À chaque jeton, PyTorch lance des centaines de petites opérations ; sur un petit modèle, les lancer
coûte plus cher que le calcul. Ici une seule fonction compilée lit tous les poids une fois, quels
que soient leur rangement et le nombre de fils.
Formes : L étages, B textes, S positions, D = d_model, H têtes, Hkv têtes de clés, Dh.
"""

import hashlib
import inspect
import math
from types import FunctionType

import numpy as np
from numba import njit, prange

from course_lib.acceleration import kernels, vectors
from course_lib.acceleration.kernels import OPTIONS, _dot_rows, project
from course_lib.acceleration.vectors import float_of_bits

THREADED_READS = 1 << 16  # clés à lire : en deçà, l’attention tient sur un fil


@njit(**OPTIONS)
def _normalize(x, scale, eps, out, n_rows):
    """RMSNorm de chaque ligne : x / √(moyenne de x² + eps) × scale."""
    width = x.shape[1]
    for b in range(n_rows):
        total = np.float32(0.0)
        for k in range(width):
            total += x[b, k] * x[b, k]
        factor = np.float32(1.0 / math.sqrt(total / width + eps))
        for k in range(width):
            out[b, k] = x[b, k] * factor * scale[k]


@njit(**OPTIONS)
def _rotate(vector, cos, sin):
    """Fait tourner en place les paires (i, i + Dh/2) d’une tête."""
    half = cos.shape[0]
    for i in range(half):
        first, second = vector[i], vector[i + half]
        vector[i] = first * cos[i] - second * sin[i]
        vector[i + half] = second * cos[i] + first * sin[i]


@njit(**OPTIONS)
def _exp(x):
    """e^x à un ou deux derniers bits près, sans appel : la boucle qui l’emploie reste vectorielle.

    x = n ln 2 + r, avec |r| ≤ ½ ln 2 : un polynôme de Taylor pour e^r, puis l’exposant n.
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = np.rint(x * np.float32(1.44269504))
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)  # ln 2 en deux morceaux
    y = np.float32(1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        y = y * r + np.float32(term)
    return y * float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@njit(**OPTIONS)
def _attend_head(q, keys, values, length, scores, out):
    """Attention d’une tête : q (Dh) lit `length` clés et valeurs (S, Dh) ; écrit out (Dh)."""
    head_dim = q.shape[0]
    scale = np.float32(1.0 / math.sqrt(head_dim))
    _dot_rows(q, keys, scores.reshape(-1, 1), 0, length)
    highest = np.float32(-3.0e38)
    for t in range(length):
        highest = max(highest, scores[t])
    norm = np.float32(0.0)
    for t in range(length):
        scores[t] = _exp((scores[t] - highest) * scale)
        norm += scores[t]
    out[:] = np.float32(0.0)
    fours = length - length % 4  # quatre valeurs à la fois : out se relit moins souvent
    for t in range(0, fours, 4):
        w0, w1, w2, w3 = scores[t], scores[t + 1], scores[t + 2], scores[t + 3]
        for i in range(head_dim):
            pair = w0 * values[t, i] + w1 * values[t + 1, i]
            out[i] += pair + (w2 * values[t + 2, i] + w3 * values[t + 3, i])
    for t in range(fours, length):
        for i in range(head_dim):
            out[i] += scores[t] * values[t, i]
    for i in range(head_dim):
        out[i] /= norm


@njit(**OPTIONS)
def _attend_tasks(qkv, n_heads, keys, values, slots, lengths, scores, out, first, last):
    """Les têtes de `first` à `last`, textes bout à bout : qkv (B, (H + 2 Hkv) Dh) → (B, H Dh)."""
    n_kv_heads, head_dim = keys.shape[1], keys.shape[3]
    for task in range(first, last):
        b, h = task // n_heads, task % n_heads
        kv, start = h * n_kv_heads // n_heads, h * head_dim
        slot, length = slots[b], lengths[b] + 1
        q, mixed = qkv[b, start : start + head_dim], out[b, start : start + head_dim]
        _attend_head(q, keys[slot, kv], values[slot, kv], length, scores[task], mixed)


@njit(parallel=True, **OPTIONS)
def _share_tasks(qkv, n_heads, keys, values, slots, lengths, scores, out, n_threads):
    n_tasks = len(slots) * n_heads
    for part in prange(n_threads):
        first, last = part * n_tasks // n_threads, (part + 1) * n_tasks // n_threads
        _attend_tasks(qkv, n_heads, keys, values, slots, lengths, scores, out, first, last)


@njit(**OPTIONS)
def _attend(qkv, n_heads, keys, values, slots, lengths, scores, out, n_threads):
    """L’attention de tous les textes ; elle ne se partage que s’il y a beaucoup à lire."""
    n_tasks = len(slots) * n_heads
    if n_threads == 1 or n_heads * lengths.sum() < THREADED_READS:
        _attend_tasks(qkv, n_heads, keys, values, slots, lengths, scores, out, 0, n_tasks)
    else:
        _share_tasks(qkv, n_heads, keys, values, slots, lengths, scores, out, n_threads)


@njit(**OPTIONS)
def _remember(qkv, n_heads, rope, keys, values, slots, lengths):
    """Tourne requêtes et clés ; range la clé et la valeur de la position dans (B, Hkv, S, Dh)."""
    n_kv_heads, head_dim = keys.shape[1], keys.shape[3]
    for b in range(len(slots)):
        slot, position = slots[b], lengths[b]
        cos, sin = rope[0, position], rope[1, position]
        for h in range(n_heads + n_kv_heads):
            _rotate(qkv[b, h * head_dim : (h + 1) * head_dim], cos, sin)
        for h in range(n_kv_heads):
            key, value = (n_heads + h) * head_dim, (n_heads + n_kv_heads + h) * head_dim
            for i in range(head_dim):
                keys[slot, h, position, i] = qkv[b, key + i]
                values[slot, h, position, i] = qkv[b, value + i]


@njit(**OPTIONS)
def _open_gate(opened, n_rows):
    """silu(porte) × montée, en place : opened (B, 2F), porte puis montée ; résultat (B, F)."""
    d_ff = opened.shape[1] // 2
    for b in range(n_rows):
        for i in range(d_ff):
            gate = opened[b, i]
            silu = gate / (np.float32(1.0) + _exp(-gate))
            opened[b, i] = silu * opened[b, d_ff + i]


@njit(**OPTIONS)
def _add(x, branch):
    """x += branch, ligne à ligne : la boucle se compile bien plus vite que l’expression."""
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            x[b, i] += branch[b, i]


@njit(**OPTIONS)
def _read_block(weights, layer, norms, eps, n_heads, rope, cache, texts, x, room, n_threads):
    """Un étage, en place sur x (B, D) ; `cache` (clés, valeurs) reçoit la position."""
    qkv_weight, output, gate_up, down = weights
    keys, values = cache
    slots, lengths = texts
    normed, qkv, mixed, opened, branch, scores = room
    n_rows = len(slots)
    _normalize(x, norms[2 * layer], eps[2 * layer], normed, n_rows)
    project(qkv_weight, layer, normed, qkv, n_rows, n_threads)
    _remember(qkv, n_heads, rope, keys, values, slots, lengths)
    _attend(qkv, n_heads, keys, values, slots, lengths, scores, mixed, n_threads)
    project(output, layer, mixed, branch, n_rows, n_threads)
    _add(x, branch)
    _normalize(x, norms[2 * layer + 1], eps[2 * layer + 1], normed, n_rows)
    project(gate_up, layer, normed, opened, n_rows, n_threads)
    _open_gate(opened, n_rows)
    project(down, layer, opened, branch, n_rows, n_threads)  # ne lit que F colonnes
    _add(x, branch)


def _read_token(
    ids, table, scale, weights, widths, head, norms, eps, n_heads, rope, cache, slots, lengths,
    logits, n_threads,
):  # fmt: skip
    """Scores (B, V) du jeton qui suit `ids` (B,) ; avance `lengths` d’une position.

    `weights` : requêtes-clés-valeurs, sortie, porte-montée, descente, tous étages réunis ;
    `widths` : largeurs de leurs sorties intermédiaires (requêtes-clés-valeurs, têtes, 2F).
    `cache` : (2, L, B, Hkv, S, Dh), clés puis valeurs.
    """
    n_rows, n_layers = len(ids), cache.shape[1]
    x = np.empty((n_rows, table.shape[1]), np.float32)
    for b in range(n_rows):
        for k in range(table.shape[1]):
            x[b, k] = table[ids[b], k] * scale
    normed = np.empty_like(x)
    room = (
        normed,
        np.empty((n_rows, widths[0]), np.float32),
        np.empty((n_rows, widths[1]), np.float32),
        np.empty((n_rows, widths[2]), np.float32),
        np.empty_like(x),
        np.empty((n_rows * n_heads, cache.shape[4]), np.float32),
    )
    texts = (slots, lengths)
    for i in range(n_layers):
        kept = (cache[0, i], cache[1, i])
        _read_block(weights, i, norms, eps, n_heads, rope, kept, texts, x, room, n_threads)
    _normalize(x, norms[2 * n_layers], eps[2 * n_layers], normed, n_rows)
    # Un int64, comme l’étage plus haut : d’un 0 littéral, numba ferait un noyau de plus.
    project(head, np.int64(0), normed, logits, n_rows, n_threads)
    for b in range(n_rows):
        lengths[b] += 1


def fingerprinted(function):
    """Compile une copie dont le nom porte l’empreinte des noyaux.

    numba range par nom, et ne regarde que ce fichier : sans elle, il ressortirait de son cache un
    lecteur compilé avec d’autres noyaux.
    """
    source = "".join(map(inspect.getsource, (kernels, vectors)))
    copy = FunctionType(function.__code__, function.__globals__)
    copy.__name__ = f"{function.__name__}_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    copy.__qualname__ = copy.__name__
    return njit(**OPTIONS)(copy)


read_token = fingerprinted(_read_token)
