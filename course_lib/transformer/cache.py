"""La mémoire cache : les clés et les valeurs déjà calculées, gardées d’un mot au suivant.

Sans elle, écrire le mot t oblige à relire les t − 1 précédents ; avec elle, on ne calcule que lui.
La mémoire est allouée une fois pour toutes et ne porte pas de gradient : elle sert à écrire,
pas à apprendre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


class KVCache:
    """Clés et valeurs d’une attention : deux tenseurs (B, Hkv, max_seq_len, Dh)."""

    def __init__(
        self,
        batch_size: int,
        n_kv_heads: int,
        max_seq_len: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ):
        shape = (batch_size, n_kv_heads, max_seq_len, head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def max_seq_len(self) -> int:
        """Nombre de positions que la mémoire peut tenir."""
        return self.keys.shape[2]

    def append(
        self, k: Float[Tensor, "B Hkv T Dh"], v: Float[Tensor, "B Hkv T Dh"]
    ) -> tuple[Float[Tensor, "B Hkv S Dh"], Float[Tensor, "B Hkv S Dh"]]:
        """Écrit T positions à la suite et rend toutes celles qui sont écrites (S = length)."""
        end = self.length + k.shape[2]
        if end > self.max_seq_len:
            raise ValueError(
                f"La mémoire cache est pleine : {self.length} positions écrites, {k.shape[2]} à "
                f"ajouter, {self.max_seq_len} places. Créez-la avec max_seq_len ≥ {end}."
            )
        if k.shape[0] != self.keys.shape[0]:
            raise ValueError(
                f"La mémoire cache attend un lot de {self.keys.shape[0]} phrases et en reçoit "
                f"{k.shape[0]} : créez-la avec batch_size={k.shape[0]}."
            )
        self.keys[:, :, self.length : end] = k.detach()
        self.values[:, :, self.length : end] = v.detach()
        self.length = end
        return self.read()

    def read(self) -> tuple[Float[Tensor, "B Hkv S Dh"], Float[Tensor, "B Hkv S Dh"]]:
        """Les clés et les valeurs écrites jusqu’ici."""
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def select(self, rows: Int[Tensor, " N"]) -> None:
        """Garde les lignes `rows` du lot, dans cet ordre (recherche en faisceau)."""
        self.keys, self.values = (self._rows(kept, rows) for kept in (self.keys, self.values))

    def _rows(self, kept: Tensor, rows: Tensor) -> Tensor:
        """Ces lignes, dans un tenseur neuf ; seules les positions écrites sont copiées."""
        chosen = kept.new_empty(len(rows), *kept.shape[1:])
        chosen[:, :, : self.length] = kept[:, :, : self.length].index_select(0, rows)
        return chosen

    def drop_first(self, n: int) -> None:
        """Oublie les n premières positions et libère leur place (remplissage devenu inutile)."""
        if not 0 <= n <= self.length:
            raise ValueError(
                f"On ne peut pas oublier {n} positions : la mémoire cache en tient {self.length}."
            )
        if n == 0:
            return
        for kept in (self.keys, self.values):
            kept[:, :, : self.length - n] = kept[:, :, n : self.length].clone()
        self.length -= n


@dataclass
class BlockCache:
    """Ce qu’un bloc garde : son attention propre, et l’attention croisée s’il en a une."""

    self_attention: KVCache
    cross_attention: KVCache | None = None


class ModelCache:
    """Les mémoires de tous les blocs d’un décodeur."""

    def __init__(self, blocks: Sequence[BlockCache]):
        self.blocks = blocks

    @property
    def length(self) -> int:
        """Nombre de positions déjà lues."""
        return self.blocks[0].self_attention.length

    def select(self, rows: Int[Tensor, " N"]) -> None:
        """Garde les lignes `rows` du lot dans chaque bloc."""
        for block in self.blocks:
            block.self_attention.select(rows)
            if block.cross_attention is not None:
                block.cross_attention.select(rows)

    def drop_first(self, n: int) -> None:
        """Oublie les n premières positions de chaque attention propre."""
        for block in self.blocks:
            block.self_attention.drop_first(n)
