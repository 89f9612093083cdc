"""Écrire plus vite : le décodeur de type Llama en noyaux numba, un appel par jeton.

À chaque jeton, PyTorch lance des dizaines de petites opérations ; sur un petit modèle, les lancer
coûte plus cher que le calcul. Ici une seule fonction compilée lit tous les poids une fois et rend
les scores. Elle se choisit : `generate(..., backend="numba")` ; l’amorce reste lue par PyTorch.

La compilation prend quelques secondes au premier jeton de chaque processus. On ne la garde pas
sur le disque : numba l’écrirait à côté de ce fichier, dans un dossier parfois en lecture seule.
Formes : L étages, B textes, S positions, D = d_model, H têtes, Hkv têtes de clés, Dh, F = d_ff.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from course_lib.transformer import Decoder, SwiGLU


@njit(fastmath=True, nogil=True)
def _project(x, weight, out, n_rows):
    """out (B, N) = x (B, K) · weightᵀ : chaque ligne de poids n’est lue qu’une fois pour le lot."""
    n_outputs, n_inputs = weight.shape
    grouped = n_rows - n_rows % 4
    for i in range(n_outputs):
        for b in range(0, grouped, 4):  # quatre textes à la fois : quatre sommes en registres
            s0 = s1 = s2 = s3 = np.float32(0.0)
            for k in range(n_inputs):
                w = weight[i, k]
                s0 += w * x[b, k]
                s1 += w * x[b + 1, k]
                s2 += w * x[b + 2, k]
                s3 += w * x[b + 3, k]
            out[b, i], out[b + 1, i], out[b + 2, i], out[b + 3, i] = s0, s1, s2, s3
        for b in range(grouped, n_rows):
            total = np.float32(0.0)
            for k in range(n_inputs):
                total += weight[i, k] * x[b, k]
            out[b, i] = total


@njit(fastmath=True, nogil=True)
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


@njit(fastmath=True, nogil=True)
def _rotate(vector, cos, sin):
    """Fait tourner en place les paires (i, i + Dh/2) d’une tête."""
    half = cos.shape[0]
    for i in range(half):
        first, second = vector[i], vector[i + half]
        vector[i] = first * cos[i] - second * sin[i]
        vector[i + half] = second * cos[i] + first * sin[i]


@njit(fastmath=True, nogil=True)
def _attend(q, keys, values, length, scores, out):
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
    out[:] = np.float32(0.0)
    norm = np.float32(0.0)
    for t in range(length):
        weight = np.float32(math.exp(scores[t] - highest))
        norm += weight
        for i in range(head_dim):
            out[i] += weight * values[t, i]
    for i in range(head_dim):
        out[i] /= norm


@njit(fastmath=True, nogil=True)
def _read_block(weights, heads, rope, keys, values, slots, lengths, x, room):
    """Un étage, en place sur x (B, D) ; keys et values (B, Hkv, S, Dh) reçoivent la position."""
    qkv_weight, output, gate_up, down, norm1, norm2, eps1, eps2 = weights
    n_heads, n_kv_heads = heads
    normed, qkv, mixed, opened, branch, scores = room
    n_rows, head_dim = len(slots), keys.shape[3]
    _normalize(x, norm1, eps1, normed, n_rows)
    _project(normed, qkv_weight, qkv, n_rows)
    for b in range(n_rows):
        slot, position = slots[b], lengths[b]
        cos, sin = rope[0, position], rope[1, position]
        for h in range(n_heads + n_kv_heads):
            _rotate(qkv[b, h * head_dim : (h + 1) * head_dim], cos, sin)
        for h in range(n_kv_heads):
            start = (n_heads + h) * head_dim
            keys[slot, h, position] = qkv[b, start : start + head_dim]
            start += n_kv_heads * head_dim
            values[slot, h, position] = qkv[b, start : start + head_dim]
        for h in range(n_heads):
            kv, part = h * n_kv_heads // n_heads, slice(h * head_dim, (h + 1) * head_dim)
            q, out = qkv[b, part], mixed[b, part]
            _attend(q, keys[slot, kv], values[slot, kv], position + 1, scores, out)
    _project(mixed, output, branch, n_rows)
    x += branch
    _normalize(x, norm2, eps2, normed, n_rows)
    _project(normed, gate_up, opened, n_rows)
    d_ff = opened.shape[1] // 2
    for b in range(n_rows):
        for i in range(d_ff):  # silu(porte) × montée
            gate = opened[b, i]
            opened[b, i] = (
                gate / (np.float32(1.0) + np.float32(math.exp(-gate))) * opened[b, d_ff + i]
            )
    _project(opened, down, branch, n_rows)  # ne lit que les d_ff premières colonnes
    x += branch


@njit(fastmath=True, nogil=True)
def _read_token(ids, tables, matrices, norms, eps, heads, rope, cache, slots, lengths, logits):
    """Scores (B, V) du jeton qui suit `ids` (B,) ; avance `lengths` d’une position."""
    embedding, head, scale = tables
    qkv, output, gate_up, down = matrices
    n_rows, n_layers, d_model = len(ids), qkv.shape[0], embedding.shape[1]
    x = np.empty((n_rows, d_model), np.float32)
    for b in range(n_rows):
        x[b] = embedding[ids[b]] * scale
    normed = np.empty_like(x)
    room = (
        normed,
        np.empty((n_rows, qkv.shape[1]), np.float32),
        np.empty((n_rows, output.shape[2]), np.float32),
        np.empty((n_rows, gate_up.shape[1]), np.float32),
        np.empty_like(x),
        np.empty(cache.shape[4], np.float32),
    )
    for i in range(n_layers):
        weights = (
            qkv[i], output[i], gate_up[i], down[i],
            norms[2 * i], norms[2 * i + 1], eps[2 * i], eps[2 * i + 1],
        )  # fmt: skip
        _read_block(weights, heads, rope, cache[0, i], cache[1, i], slots, lengths, x, room)
    _normalize(x, norms[2 * n_layers], eps[2 * n_layers], normed, n_rows)
    _project(normed, head, logits, n_rows)
    for b in range(n_rows):
        lengths[b] += 1


def check_supported(model: nn.Module) -> None:
    """ValueError, avec la cause, si les noyaux ne savent pas écrire avec ce modèle."""
    reason = _unsupported(model)
    if reason:
        raise ValueError(
            f"backend = 'numba' ne convient pas à ce modèle : {reason}. Il n’écrit qu’avec les "
            "décodeurs de type Llama, sur le processeur ; prenez backend='torch'."
        )


def _unsupported(model: nn.Module) -> str:
    if not isinstance(model, Decoder):
        return f"{type(model).__name__} n’est pas un Decoder"
    embedding = model.embedding
    if model.rope is None or embedding.positions is not None:
        return "ses positions ne sont pas rotatives"
    if embedding.segments is not None or embedding.norm is not None:
        return "ses embeddings ont des segments ou une norme"
    if embedding.tokens.weight.device.type != "cpu":
        return f"ses poids sont sur {embedding.tokens.weight.device}"
    if not isinstance(model.head, nn.Linear) or model.head.bias is not None:
        return "sa tête n’est pas une matrice sans biais"
    for block in model.blocks:
        attention = block.self_attention
        if block.cross_attention is not None:
            return "il a une attention croisée"
        if not block.norm_first or not isinstance(block.feed_forward, SwiGLU):
            return "ses blocs ne sont pas « norme avant, SwiGLU »"
        if any(projection.bias is not None for projection in attention.children()):
            return "son attention a des biais"
    if not all(isinstance(norm, nn.RMSNorm) for norm in _norms(model)):
        return "ses normes ne sont pas des RMSNorm"
    return ""


def _norms(model: Decoder) -> list[nn.Module]:
    pairs = ((block.self_attention_norm, block.feed_forward_norm) for block in model.blocks)
    return [norm for pair in pairs for norm in pair] + [model.norm]


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().numpy())


def _stack(layers: Sequence[Sequence[nn.Linear]]) -> np.ndarray:
    """Les matrices de chaque étage mises bout à bout, (L, sorties, entrées)."""
    return np.stack([np.concatenate([_array(m.weight) for m in layer]) for layer in layers])


class NumbaReader:
    """Lecteur d’un lot de textes, à l’interface de `course_lib.generation.readers`.

    Copie les poids (en fp32) : un modèle qu’on entraîne ensuite ne change pas ce lecteur.
    Chaque texte a sa propre longueur ; il n’y a pas de remplissage une fois l’amorce lue.
    """

    def __init__(self, model: Decoder, prompts: Sequence[Sequence[int]], n_positions: int):
        check_supported(model)
        self.model, self.prompts = model, [list(prompt) for prompt in prompts]
        attentions = [block.self_attention for block in model.blocks]
        networks = [block.feed_forward for block in model.blocks]
        self.matrices = (
            _stack([(a.query, a.key, a.value) for a in attentions]),
            _stack([(a.output,) for a in attentions]),
            _stack([(f.gate, f.up) for f in networks]),
            _stack([(f.down,) for f in networks]),
        )
        self.norms = np.stack([_array(norm.weight) for norm in _norms(model)])
        smallest = torch.finfo(torch.float32).eps  # ce que prend RMSNorm quand eps est None
        self.eps = np.array([norm.eps or smallest for norm in _norms(model)], np.float32)
        embedding = model.embedding
        table = _array(embedding.tokens.weight)
        tied = model.head.weight is embedding.tokens.weight
        head = table if tied else _array(model.head.weight)
        self.tables = (table, head, np.float32(embedding.scale))
        attention = attentions[0]
        self.heads = (attention.n_heads, attention.n_kv_heads)
        half = attention.head_dim // 2
        # Le sinus du cours porte le signe de la première moitié : on prend la seconde.
        self.rope = np.stack([_array(model.rope.cos[:, :half]), _array(model.rope.sin[:, half:])])
        shape = (2, len(attentions), len(prompts), self.heads[1], n_positions, attention.head_dim)
        self.cache = np.zeros(shape, np.float32)  # clés puis valeurs, (2, L, B, Hkv, S, Dh)
        self.slots = np.arange(len(prompts))
        self.lengths = np.array([len(prompt) for prompt in prompts])

    def start(self) -> Tensor:
        """Lit les amorces avec PyTorch, puis recopie leurs clés et leurs valeurs."""
        # Importé ici : la génération charge ce module à la demande, et non l’inverse.
        from course_lib.generation.readers import CachedReader

        prefill = CachedReader(self.model, self.prompts, max(map(len, self.prompts)))
        logits = prefill.start()
        for i, block in enumerate(prefill.cache.blocks):
            for kind, tensor in enumerate(block.self_attention.read()):  # (B, Hkv, T, Dh)
                for row, length in enumerate(self.lengths):
                    self.cache[kind, i, row, :, :length] = tensor[row, :, -length:].float().numpy()
        return logits.float()

    def step(self, ids: Sequence[int]) -> Tensor:
        """Lit un jeton de plus par texte, d’un seul appel compilé ; scores (B, V)."""
        logits = np.empty((len(ids), self.tables[1].shape[0]), np.float32)
        _read_token(
            np.array(ids), self.tables, self.matrices, self.norms, self.eps, self.heads,
            self.rope, self.cache, self.slots, self.lengths, logits,
        )  # fmt: skip
        return torch.from_numpy(logits)

    def keep(self, rows: Sequence[int]) -> None:
        """Ne garde que les textes `rows`, tous différents : leurs clés ne bougent pas."""
        self.slots, self.lengths = self.slots[list(rows)], self.lengths[list(rows)]
