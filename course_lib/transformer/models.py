"""Les trois familles de Transformers : encodeur, décodeur, encodeur-décodeur.

Un modèle = des jetons changés en vecteurs, une pile de blocs, une tête qui rend des scores.
Formes : B phrases, T jetons, S jetons de la source (ou déjà lus), D = d_model, V scores par jeton.
Un masque de remplissage (B, T) vaut True sur les vrais jetons, False sur le remplissage.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.transformer.attention import resolve_mask
from course_lib.transformer.blocks import Block
from course_lib.transformer.cache import BlockCache, KVCache, ModelCache
from course_lib.transformer.documents import separate_documents
from course_lib.transformer.ids import check_ids
from course_lib.transformer.positions import RotaryPositions


def count_parameters(model: nn.Module) -> int:
    """Nombre de paramètres ; des poids liés (embeddings et tête) ne comptent qu’une fois."""
    return sum(parameter.numel() for parameter in model.parameters())


class InputEmbedding(nn.Module):
    """Change chaque jeton en vecteur : jeton × `scale` + position (+ segment), puis norme.

    `positions` est absent quand la position entre dans l’attention elle-même (rotatives).
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        context_length: int,
        *,
        positions: nn.Module | None = None,
        n_segments: int = 0,
        norm: nn.Module | None = None,
        scale: float = 1.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.context_length = context_length
        self.scale = scale
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.positions = positions
        self.segments = nn.Embedding(n_segments, d_model) if n_segments else None
        self.norm = norm
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        positions: Int[Tensor, "*B T"],
        segments: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        x = self.tokens(ids)
        if self.scale != 1.0:
            x = x * self.scale
        if self.positions is not None:
            x = x + self.positions(positions).to(x.dtype)
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(ids) if segments is None else segments)
        return self.dropout(x if self.norm is None else self.norm(x))

    def place(self, ids: Tensor, padding_mask: Tensor | None, past: int = 0) -> Tensor:
        """Position de chaque jeton, (T,) ou (B, T) ; vérifie d’abord que l’entrée est lisible.

        Avec du remplissage, on compte les vrais jetons : une phrase calée à droite commence
        quand même à la position 0.
        """
        if ids.ndim != 2:
            raise ValueError(
                f"Les identifiants ont la forme {tuple(ids.shape)} ; il faut (phrases, jetons). "
                "Pour une seule phrase : ids[None]."
            )
        end = past + ids.shape[1]
        if end > self.context_length:
            raise ValueError(
                f"Le texte occupe {end} positions et le contexte en a {self.context_length} : "
                "raccourcissez-le, ou construisez le modèle avec un context_length plus grand."
            )
        if ids.device.type == "cpu":  # ailleurs, regarder les ids attendrait la fin du calcul
            check_ids(ids, self.tokens.num_embeddings)
        if padding_mask is None:
            return torch.arange(past, end, device=ids.device)
        if padding_mask.shape != (ids.shape[0], end):
            raise ValueError(
                f"padding_mask a la forme {tuple(padding_mask.shape)} ; il faut "
                f"{(ids.shape[0], end)} : une ligne par phrase, une colonne par position lue, "
                "mémoire cache comprise."
            )
        return (padding_mask.cumsum(dim=1) - 1).clamp(min=0)[:, past:]


class Encoder(nn.Module):
    """Pile de blocs où chaque jeton lit toute la phrase (BERT, encodeur de 2017).

    `pad_id` : identifiant du remplissage ; s’il est donné, l’encodeur l’ignore de lui-même.
    `head` : change chaque vecteur en scores ; sans tête, le modèle rend les vecteurs.
    """

    def __init__(
        self,
        embedding: InputEmbedding,
        blocks: Sequence[Block],
        *,
        norm: nn.Module | None = None,
        head: nn.Module | None = None,
        pad_id: int | None = None,
    ):
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm if norm is not None else nn.Identity()
        self.head = head if head is not None else nn.Identity()
        self.pad_id = pad_id

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        padding_mask: Bool[Tensor, "B T"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Scores de chaque jeton, (B, T, V) ; vecteurs (B, T, D) pour un encodeur sans tête."""
        return self.head(self.hidden(ids, padding_mask, segments))

    def hidden(
        self,
        ids: Int[Tensor, "B T"],
        padding_mask: Bool[Tensor, "B T"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Vecteurs de sortie du dernier bloc."""
        if padding_mask is None:
            padding_mask = self.padding_mask(ids)
        x = self.embedding(ids, self.embedding.place(ids, padding_mask), segments)
        mask = None if padding_mask is None else padding_mask[:, None, None, :]  # (B, 1, 1, T)
        for block in self.blocks:
            x = block(x, mask=mask)
        return self.norm(x)

    def padding_mask(self, ids: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"] | None:
        """Vrai sur les jetons à lire ; None si le modèle ne connaît pas de remplissage."""
        return None if self.pad_id is None else ids != self.pad_id


class Decoder(nn.Module):
    """Pile de blocs où chaque jeton ne lit que le passé (GPT-2, Llama, décodeur de 2017).

    `rope` : positions rotatives, communes à tous les blocs.
    """

    def __init__(
        self,
        embedding: InputEmbedding,
        blocks: Sequence[Block],
        *,
        norm: nn.Module | None = None,
        head: nn.Module | None = None,
        rope: RotaryPositions | None = None,
    ):
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm if norm is not None else nn.Identity()
        self.head = head if head is not None else nn.Identity()
        self.rope = rope

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S D"] | None = None,
        *,
        padding_mask: Bool[Tensor, "B L"] | None = None,
        memory_mask: Bool[Tensor, "B S"] | None = None,
        document_ids: Int[Tensor, "B T"] | None = None,
        cache: ModelCache | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Scores du jeton suivant, à chaque position."""
        hidden = self.hidden(
            ids,
            memory,
            padding_mask=padding_mask,
            memory_mask=memory_mask,
            document_ids=document_ids,
            cache=cache,
        )
        return self.head(hidden)

    def hidden(
        self,
        ids: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S D"] | None = None,
        *,
        padding_mask: Bool[Tensor, "B L"] | None = None,
        memory_mask: Bool[Tensor, "B S"] | None = None,
        document_ids: Int[Tensor, "B T"] | None = None,
        cache: ModelCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Vecteurs de sortie : on n’applique ensuite `head` que là où l’on en a besoin.

        Avec une mémoire cache, `ids` ne contient que les jetons nouveaux et `padding_mask`
        couvre tout ce qui est lu : L = jetons déjà lus + T. `document_ids` : plusieurs documents
        par ligne, que l’on lit chacun pour soi (voir `documents`).
        """
        past, n_new = (cache.length if cache is not None else 0), ids.shape[-1]
        positions = self.embedding.place(ids, padding_mask, past)
        # Le masque et les angles sont les mêmes à tous les étages : on les prépare une fois.
        mask = None if padding_mask is None else padding_mask[:, None, None, :]  # (B, 1, 1, L)
        if document_ids is not None:
            alone = padding_mask is None and cache is None
            positions, mask = separate_documents(document_ids, alone=alone)
        mask, is_causal = resolve_mask(mask, True, n_new, past + n_new, ids.device)
        if memory_mask is not None:
            memory_mask = memory_mask[:, None, None, :]  # (B, 1, 1, S)
        rope = self.rope(positions) if self.rope is not None else None
        x = self.embedding(ids, positions)
        for i, block in enumerate(self.blocks):
            x = block(
                x,
                memory,
                mask=mask,
                is_causal=is_causal,
                memory_mask=memory_mask,
                rope=rope,
                cache=cache.blocks[i] if cache is not None else None,
            )
        return self.norm(x)

    def new_cache(
        self, batch_size: int, max_seq_len: int | None = None, memory_length: int = 0
    ) -> ModelCache:
        """Mémoire cache vide pour `max_seq_len` positions (par défaut, tout le contexte).

        `memory_length` : longueur de la source, s’il y a une attention croisée.
        """
        max_seq_len = max_seq_len or self.embedding.context_length
        weight = self.embedding.tokens.weight

        def empty(attention, length):
            shape = (batch_size, attention.n_kv_heads, length, attention.head_dim)
            return KVCache(*shape, dtype=weight.dtype, device=weight.device)

        caches = [BlockCache(empty(block.self_attention, max_seq_len)) for block in self.blocks]
        for block, cache in zip(self.blocks, caches, strict=True):
            if block.cross_attention is not None:
                cache.cross_attention = empty(block.cross_attention, memory_length)
        return ModelCache(caches)


class EncoderDecoder(nn.Module):
    """Un encodeur lit la source, un décodeur écrit la cible en la consultant (2017)."""

    def __init__(self, encoder: Encoder, decoder: Decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self,
        source: Int[Tensor, "B S"],
        target: Int[Tensor, "B T"],
        source_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Scores du mot suivant de la cible. Sans `source_mask`, le remplissage est ignoré."""
        if source_mask is None:
            source_mask = self.encoder.padding_mask(source)
        return self.decode(target, self.encode(source, source_mask), source_mask)

    def encode(
        self, source: Int[Tensor, "B S"], source_mask: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Vecteurs de la source, que le décodeur consultera."""
        return self.encoder(source, source_mask)

    def decode(
        self,
        target: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S D"],
        source_mask: Bool[Tensor, "B S"] | None = None,
        *,
        cache: ModelCache | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Scores du mot suivant ; `source_mask` : le même que pour `encode`."""
        return self.decoder(target, memory, memory_mask=source_mask, cache=cache)

    def new_cache(
        self, batch_size: int, max_seq_len: int | None = None, source_length: int | None = None
    ) -> ModelCache:
        """Mémoire cache du décodeur ; `source_length` : par défaut, tout le contexte."""
        source_length = source_length or self.encoder.embedding.context_length
        return self.decoder.new_cache(batch_size, max_seq_len, source_length)
