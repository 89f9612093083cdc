"""Lire un jeton d’un seul appel compilé : un décodeur de type Llama, du vecteur aux scores.

À chaque jeton, PyTorch lance des centaines de petites opérations ; sur un petit modèle, les lancer
coûte plus cher que le calcul. Ici une seule fonction compilée lit tous les poids une fois.
La fonction se compile pour chaque alliance de noyaux : un fil ou plusieurs, poids flottants ou
entiers ; `_project`, `_project_head` et `_attend` y prennent leur valeur.
Formes : L étages, B textes, S positions, D = d_model, H têtes, Hkv têtes de clés, Dh.
"""

import functools
import hashlib
import inspect
import math
from types import SimpleNamespace

import numpy as np
from numba import njit, prange

from course_lib.acceleration import kernels
from course_lib.acceleration.kernels import OPTIONS, PROJECTIONS, both_forms, specialize

# Ce que `token_readers` remplace par les noyaux qui conviennent.
_project = _project_head = PROJECTIONS["float"].serial


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
def _attend_head(q, keys, values, length, scores, out):
    """Attention d’une tête : q (Dh) lit `length` clés et valeurs (S, Dh) ; écrit out (Dh)."""
    head_dim = q.shape[0]
    scale = np.float32(1.0 / math.sqrt(head_dim))
    highest = np.float32(-3.0e38)
    for t in range(length):
        total = np.float32(0.0)
        for i in range(head_dim):
            total += q[i] * keys[t, i]
        scores[t] = total * scale
        highest = max(highest, scores[t])
    for i in range(head_dim):
        out[i] = np.float32(0.0)
    norm = np.float32(0.0)
    for t in range(length):
        weight = np.float32(math.exp(scores[t] - highest))
        norm += weight
        for i in range(head_dim):
            out[i] += weight * values[t, i]
    for i in range(head_dim):
        out[i] /= norm


def _attend(qkv, n_heads, keys, values, slots, lengths, scores, out):
    """Toutes les têtes de tous les textes : qkv (B, (H + 2 Hkv) Dh) → out (B, H Dh)."""
    n_kv_heads, head_dim = keys.shape[1], keys.shape[3]
    for task in prange(len(slots) * n_heads):
        b, h = task // n_heads, task % n_heads
        kv, start = h * n_kv_heads // n_heads, h * head_dim
        slot, length = slots[b], lengths[b] + 1
        q, mixed = qkv[b, start : start + head_dim], out[b, start : start + head_dim]
        _attend_head(q, keys[slot, kv], values[slot, kv], length, scores[task], mixed)


ATTENTION = both_forms(_attend)


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
            silu = gate / (np.float32(1.0) + np.float32(math.exp(-gate)))
            opened[b, i] = silu * opened[b, d_ff + i]


@njit(**OPTIONS)
def _add(x, branch):
    """x += branch, ligne à ligne : la boucle se compile bien plus vite que l’expression."""
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            x[b, i] += branch[b, i]


def _read_block(weights, layer, norms, eps, n_heads, rope, cache, texts, x, room):
    """Un étage, en place sur x (B, D) ; `cache` (clés, valeurs) reçoit la position."""
    qkv_weight, output, gate_up, down = weights
    keys, values = cache
    slots, lengths = texts
    normed, qkv, mixed, opened, branch, scores = room
    n_rows = len(slots)
    _normalize(x, norms[2 * layer], eps[2 * layer], normed, n_rows)
    _project(qkv_weight, layer, normed, qkv, n_rows)
    _remember(qkv, n_heads, rope, keys, values, slots, lengths)
    _attend(qkv, n_heads, keys, values, slots, lengths, scores, mixed)
    _project(output, layer, mixed, branch, n_rows)
    _add(x, branch)
    _normalize(x, norms[2 * layer + 1], eps[2 * layer + 1], normed, n_rows)
    _project(gate_up, layer, normed, opened, n_rows)
    _open_gate(opened, n_rows)
    _project(down, layer, opened, branch, n_rows)  # ne lit que les F premières colonnes
    _add(x, branch)


def _read_token(
    ids, table, scale, weights, widths, head, norms, eps, n_heads, rope, cache, slots, lengths,
    logits,
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
    for i in range(n_layers):
        kept = (cache[0, i], cache[1, i])
        _read_block(weights, i, norms, eps, n_heads, rope, kept, (slots, lengths), x, room)
    _normalize(x, norms[2 * n_layers], eps[2 * n_layers], normed, n_rows)
    # Un int64, comme l’étage plus haut : d’un 0 littéral, numba ferait un noyau de plus.
    _project_head(head, np.int64(0), normed, logits, n_rows)
    for b in range(n_rows):
        lengths[b] += 1


@functools.cache
def token_readers(kind: str, head_kind: str) -> SimpleNamespace:
    """Les deux formes de `_read_token` pour des étages et une tête rangés ainsi.

    Leur nom porte l’empreinte des noyaux : numba, qui ne regarde que ce fichier, ne ressortira pas
    de son cache un lecteur compilé avec d’autres.
    """
    digest = hashlib.sha256(inspect.getsource(kernels).encode()).hexdigest()[:8]

    def specialized(form: str):
        suffix = f"{kind}_{head_kind}_{form}_{digest}"
        project, head = getattr(PROJECTIONS[kind], form), getattr(PROJECTIONS[head_kind], form)
        attend = getattr(ATTENTION, form)
        block = specialize(_read_block, suffix, _project=project, _attend=attend)
        return specialize(_read_token, suffix, _read_block=block, _project_head=head)

    return SimpleNamespace(serial=specialized("serial"), threaded=specialized("threaded"))
