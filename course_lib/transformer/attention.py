"""L’attention : chaque position lit les autres et en fait une moyenne pondérée.

Notation des formes : B phrases, H têtes de requêtes, Hkv têtes de clés et de valeurs,
Tq requêtes, Tk clés, Dh dimension d’une tête, D = d_model.
Un masque est booléen : True = lecture permise.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.transformer.cache import KVCache
from course_lib.transformer.positions import Rope, rotate
from course_lib.transformer.precision import widened


def causal_mask(
    n_queries: int, n_keys: int, device: torch.device | None = None
) -> Bool[Tensor, "Tq Tk"]:
    """Masque causal : la requête i ne lit que les clés déjà écrites.

    Les requêtes sont les *dernières* positions des clés : avec une mémoire cache de p
    positions, la requête i est à la position p + i.
    """
    allowed = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return allowed.tril(n_keys - n_queries)


def resolve_mask(
    mask: Tensor | None,
    is_causal: bool,
    n_queries: int,
    n_keys: int,
    device: torch.device | None = None,
) -> tuple[Tensor | None, bool]:
    """Réunit `mask` et `is_causal`, que PyTorch refuse ensemble ; rend le couple à lui donner.

    Le drapeau ne survit que là où PyTorch l’entend comme nous : sans masque, et avec autant de
    requêtes que de clés. Une requête unique et dernière lit tout : elle n’a pas besoin de masque.
    """
    if not is_causal or n_queries == 1:
        return mask, False
    if mask is None and n_queries == n_keys:
        return None, True
    causal = causal_mask(n_queries, n_keys, device)
    return (causal if mask is None else mask & causal), False


def scaled_dot_product(
    q: Float[Tensor, "B H Tq Dh"],
    k: Float[Tensor, "B Hkv Tk Dh"],
    v: Float[Tensor, "B Hkv Tk Dh"],
    mask: Bool[Tensor, "..."] | None = None,
    is_causal: bool = False,
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "B H Tq Dh"], Float[Tensor, "B H Tq Tk"]]:
    """Attention écrite en toutes lettres : softmax(q kᵀ / √Dh) v. Rend la sortie et les poids.

    `mask` se diffuse à (B, H, Tq, Tk). Une requête qui n’a rien à lire reçoit zéro partout.
    Source : Vaswani et al. 2017, équation 1.
    """
    dtype, (q, k, v) = q.dtype, (widened(t) for t in (q, k, v))  # 16 bits : le produit déborderait
    n_groups = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(n_groups, dim=1) for t in (k, v))  # Hkv têtes → H têtes
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, Tq, Tk)
    if is_causal:
        causal = causal_mask(q.shape[2], k.shape[2], q.device)
        mask = causal if mask is None else mask & causal
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # Un score très bas mais fini : une ligne toute masquée donne zéro, jamais NaN.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    return (F.dropout(weights, dropout) @ v).to(dtype), weights.to(dtype)


def check_heads(d_model: int, n_heads: int, n_kv_heads: int, head_dim: int | None = None) -> None:
    """Vérifie que les têtes se partagent d_model, et les requêtes les têtes de clés."""
    if head_dim is None and d_model % n_heads != 0:
        raise ValueError(
            f"d_model = {d_model} ne se partage pas entre n_heads = {n_heads} têtes : "
            "choisissez un multiple de n_heads, ou donnez head_dim."
        )
    if n_heads % n_kv_heads != 0:
        raise ValueError(
            f"n_heads = {n_heads} n’est pas un multiple de n_kv_heads = {n_kv_heads} : "
            "chaque tête de clés doit servir le même nombre de têtes de requêtes."
        )


class Attention(nn.Module):
    """Attention à plusieurs têtes, propre (x lit x) ou croisée (x lit `memory`).

    `n_kv_heads` < `n_heads` : les têtes de requêtes se partagent les clés par groupes
    (Ainslie et al. 2023). `output_bias` : par défaut, comme `bias`. `make_head_norm()` fabrique la
    norme des requêtes d’une tête, puis celle de ses clés, avant qu’elles ne tournent (Qwen3).
    Source : Vaswani et al. 2017, §3.2.2.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        output_bias: bool | None = None,
        dropout: float = 0.0,
        make_head_norm: Callable[[], nn.Module] | None = None,
    ):
        super().__init__()
        output_bias = bias if output_bias is None else output_bias
        self.n_heads = n_heads
        self.n_kv_heads = n_kv_heads or n_heads
        check_heads(d_model, self.n_heads, self.n_kv_heads, head_dim)
        self.head_dim = head_dim or d_model // n_heads
        self.dropout = dropout
        self.query = nn.Linear(d_model, self.n_heads * self.head_dim, bias=bias)
        self.key = nn.Linear(d_model, self.n_kv_heads * self.head_dim, bias=bias)
        self.value = nn.Linear(d_model, self.n_kv_heads * self.head_dim, bias=bias)
        self.output = nn.Linear(self.n_heads * self.head_dim, d_model, bias=output_bias)
        self.query_norm = make_head_norm() if make_head_norm is not None else None
        self.key_norm = make_head_norm() if make_head_norm is not None else None

    def forward(
        self,
        x: Float[Tensor, "B Tq D"],
        memory: Float[Tensor, "B S D"] | None = None,
        *,
        mask: Bool[Tensor, "..."] | None = None,
        is_causal: bool = False,
        rope: Rope | None = None,
        cache: KVCache | None = None,
        return_weights: bool = False,
    ) -> Float[Tensor, "B Tq D"] | tuple[Float[Tensor, "B Tq D"], Float[Tensor, "B H Tq Tk"]]:
        """Rend (B, Tq, D), suivi des poids (B, H, Tq, Tk) si `return_weights`."""
        q = self._split_heads(self.query(x))
        if self.query_norm is not None:
            q = self.query_norm(q)
        if rope is not None:
            q = rotate(q, rope)
        k, v = self._keys_values(x, memory, rope, cache)
        dropout = self.dropout if self.training else 0.0
        if return_weights:
            y, weights = scaled_dot_product(q, k, v, mask, is_causal, dropout)
        else:
            mask, is_causal = resolve_mask(mask, is_causal, q.shape[2], k.shape[2], q.device)
            y = F.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal, enable_gqa=self.n_kv_heads < self.n_heads
            )
        y = self.output(y.transpose(1, 2).flatten(2))  # (B, H, Tq, Dh) → (B, Tq, D)
        return (y, weights) if return_weights else y

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, T, H·Dh) → (B, H, T, Dh)

    def _keys_values(
        self, x: Tensor, memory: Tensor | None, rope: Rope | None, cache: KVCache | None
    ) -> tuple[Tensor, Tensor]:
        # La mémoire d’un encodeur ne change pas d’un mot à l’autre : on la projette une seule fois.
        if memory is not None and cache is not None and cache.length > 0:
            return cache.read()
        source = x if memory is None else memory
        k, v = self._split_heads(self.key(source)), self._split_heads(self.value(source))
        if self.key_norm is not None:
            k = self.key_norm(k)
        if rope is not None:
            k = rotate(k, rope)
        return (k, v) if cache is None else cache.append(k, v)
