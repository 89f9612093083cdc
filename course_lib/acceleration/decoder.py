"""Écrire avec les noyaux numba : un lecteur à l’interface de `course_lib.generation.readers`.

Il se choisit : `generate(..., reader=NumbaReader)`. Les couches du modèle décident du reste : poids
flottants (`nn.Linear`) ou entiers (`quantize`). L’amorce est lue par PyTorch.

La compilation prend quelques secondes au premier jeton de chaque processus, sauf si la variable
NUMBA_CACHE_DIR désigne un dossier où la garder.
Formes : L étages, B textes, S positions, D = d_model, H têtes, Hkv têtes de clés, Dh, F = d_ff.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.acceleration.layout import stack
from course_lib.acceleration.linear import QuantizedLinear, choose_threads, has_numba
from course_lib.generation.readers import CachedReader
from course_lib.transformer import Attention, Decoder, SwiGLU

# Les noyaux se relaient toutes les quelques microsecondes : il faut un modèle d’un certain poids
# pour qu’un second fil y gagne.
THREADED_MODEL_BYTES = 20_000_000
_ADAPTED = (
    "des adaptateurs sont posés : fondez-les et retirez-les (merge_adapter, puis "
    "detach_adapters(model, keep_merged=True)), ou prenez CachedReader"
)


def check_supported(model: nn.Module) -> None:
    """ValueError, avec la cause, si les noyaux ne savent pas écrire avec ce modèle."""
    reason = _unsupported(model)
    if reason:
        raise ValueError(
            f"NumbaReader ne convient pas à ce modèle : {reason}. Il n’écrit qu’avec les "
            "décodeurs de type Llama, sur le processeur ; prenez reader=CachedReader."
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
    if hasattr(model.head, "unwrapped"):
        return _ADAPTED
    if not isinstance(model.head, nn.Linear | QuantizedLinear) or model.head.bias is not None:
        return "sa tête n’est pas une matrice sans biais"
    if type(embedding.tokens) is not nn.Embedding:
        return "une amorce apprise est posée"
    for block in model.blocks:
        attention = block.self_attention
        if type(attention) is not Attention:
            return "une de ses attentions n’est pas celle du cours"
        if block.cross_attention is not None:
            return "il a une attention croisée"
        if not block.norm_first or not isinstance(block.feed_forward, SwiGLU):
            return "ses blocs ne sont pas « norme avant, SwiGLU »"
        if attention.query_norm is not None:
            return "ses têtes normalisent leurs requêtes et leurs clés (qk_norm)"
        projections = (*attention.children(), *block.feed_forward.children())
        if not all(isinstance(layer, nn.Linear | QuantizedLinear) for layer in projections):
            return _ADAPTED
        if any(projection.bias is not None for projection in attention.children()):
            return "son attention a des biais"
    if not all(isinstance(norm, nn.RMSNorm) for norm in _norms(model)):
        return "ses normes ne sont pas des RMSNorm"
    return ""


def _layers(model: Decoder) -> list[tuple[nn.Module, ...]]:
    """Les couches de chaque étage : requêtes, clés, valeurs, sortie, porte, montée, descente."""
    return [
        (a.query, a.key, a.value, a.output, f.gate, f.up, f.down)
        for a, f in ((block.self_attention, block.feed_forward) for block in model.blocks)
    ]


def _norms(model: Decoder) -> list[nn.Module]:
    pairs = ((block.self_attention_norm, block.feed_forward_norm) for block in model.blocks)
    return [norm for pair in pairs for norm in pair] + [model.norm]


def _array(tensor: Tensor) -> np.ndarray:
    """Le tableau d’un tenseur ; sans copie s’il est déjà en fp32."""
    return np.ascontiguousarray(tensor.detach().float().numpy())


def _readable(layer: nn.Module) -> nn.Module | np.ndarray:
    """Ce que `stack` sait ranger : une couche d’entiers, ou la matrice d’une couche flottante."""
    return layer if isinstance(layer, QuantizedLinear) else _array(layer.weight)


def _check_numba() -> None:
    if not has_numba():
        raise ImportError(
            "NumbaReader a besoin de numba, qui n’est pas installé : "
            'pip install "course-lib[acceleration]", ou prenez reader=CachedReader.'
        )


class NumbaReader:
    """Lecteur d’un lot de textes ; chaque texte a sa propre longueur, sans remplissage.

    Copie les poids des étages : un modèle qu’on entraîne ensuite ne change pas ce lecteur.
    """

    def __init__(self, model: Decoder, prompts: Sequence[Sequence[int]], n_positions: int):
        check_supported(model)
        _check_numba()
        self.model, self.prompts = model, [list(prompt) for prompt in prompts]
        layers = [[_readable(layer) for layer in stage] for stage in _layers(model)]
        # requêtes-clés-valeurs, sortie, porte-montée, descente
        parts = (slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 7))
        self.weights = tuple(stack([stage[part] for stage in layers]) for part in parts)
        self.head = stack([[_readable(model.head)]])
        self.norms = np.stack([_array(norm.weight) for norm in _norms(model)])
        smallest = torch.finfo(torch.float32).eps  # ce que prend RMSNorm quand eps est None
        self.eps = np.array([norm.eps or smallest for norm in _norms(model)], np.float32)
        self.table = _array(model.embedding.tokens.weight)
        self.scale = np.float32(model.embedding.scale)
        attention = model.blocks[0].self_attention
        n_heads, n_kv_heads, head_dim = attention.n_heads, attention.n_kv_heads, attention.head_dim
        self.n_heads = n_heads
        gate_up = 2 * model.blocks[0].feed_forward.gate.out_features
        self.widths = ((n_heads + 2 * n_kv_heads) * head_dim, n_heads * head_dim, gate_up)
        half = head_dim // 2
        # Le sinus du cours porte le signe de la première moitié : on prend la seconde.
        self.rope = np.stack([_array(model.rope.cos[:, :half]), _array(model.rope.sin[:, half:])])
        shape = (2, len(layers), len(prompts), n_kv_heads, n_positions, head_dim)
        self.cache = np.zeros(shape, np.float32)  # clés puis valeurs, (2, L, B, Hkv, S, Dh)
        self.n_outputs = model.head.out_features
        self.slots = np.arange(len(prompts))
        self.lengths = np.array([len(prompt) for prompt in prompts])
        arrays = [array for weight in (*self.weights, self.head) for array in weight[:5]]
        n_bytes = sum(array.nbytes for array in arrays)
        self.n_threads = choose_threads(n_bytes, THREADED_MODEL_BYTES)

    def start(self) -> Tensor:
        """Lit les amorces avec PyTorch, puis recopie leurs clés et leurs valeurs."""
        return self._read(range(len(self.prompts)), self.prompts)

    def _read(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
        """Fait lire par PyTorch un texte par ligne de `rows` ; scores du jeton suivant."""
        prefill = CachedReader(self.model, texts, max(map(len, texts)))
        logits = prefill.start()
        for i, block in enumerate(prefill.cache.blocks):
            for kind, tensor in enumerate(block.self_attention.read()):  # (B, Hkv, T, Dh)
                for values, row, text in zip(tensor, rows, texts, strict=True):
                    n = len(text)
                    self.cache[kind, i, self.slots[row], :, :n] = values[:, -n:].float().numpy()
        return logits.float()

    def restart(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Met `texts`, lus depuis la position 0, à la place de ce que ces lignes avaient lu."""
        self.lengths[list(rows)] = [len(text) for text in texts]
        pairs = [(row, text) for row, text in zip(rows, texts, strict=True) if text]
        if pairs:
            self._read(*zip(*pairs, strict=True))

    def step(self, ids: Sequence[int]) -> Tensor:
        """Lit un jeton de plus par texte, d’un seul appel compilé ; scores (B, V)."""
        from course_lib.acceleration.token_step import read_token

        logits = np.empty((len(ids), self.n_outputs), np.float32)
        read_token(
            np.array(ids), self.table, self.scale, self.weights, self.widths, self.head, self.norms,
            self.eps, self.n_heads, self.rope, self.cache, self.slots, self.lengths, logits,
            self.n_threads,
        )  # fmt: skip
        return torch.from_numpy(logits)

    def keep(self, rows: Sequence[int]) -> None:
        """Ne garde que les textes `rows`, tous différents : leurs clés ne bougent pas."""
        self.slots, self.lengths = self.slots[list(rows)], self.lengths[list(rows)]
