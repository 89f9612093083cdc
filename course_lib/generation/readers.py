"""Faire lire le modèle, mot après mot : avec la mémoire cache, ou en relisant tout.

Un lecteur garde l’état d’un lot de textes. `start()` lit les amorces, `step(ids)` un jeton de plus
par texte : les deux rendent les scores du suivant, (B, V), en simple précision au moins.
`keep(rows)` ne garde que ces textes. `restart(rows, texts)` oublie ce que ces textes ont lu et leur
fait lire autre chose : la fenêtre glisse.

`generate(..., reader=…)` en choisit un : `CachedReader`, `RereadingReader`, ou tout ce qui se bâtit
comme eux, `reader(model, prompts, n_positions)`, tel `course_lib.acceleration.NumbaReader`.

Les amorces n’ont pas la même longueur : on les cale à droite, avec du remplissage à gauche.

    ·  ·  Il  était          ·  ·  Il  était  une
    Le petit  chat  dort  →  Le petit  chat  dort  et
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from course_lib.transformer import evaluating
from course_lib.transformer.precision import widened


@contextlib.contextmanager
def reading(model: nn.Module) -> Iterator[None]:
    """Le temps d’une lecture : sans gradient ni oubli (dropout)."""
    with evaluating(model), torch.inference_mode():
        yield


def pad_left(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """Les amorces calées à droite, (B, T), et le masque des vrais jetons ; None s’ils le sont tous.

    Le remplissage est l’id 0 : masqué, il n’est lu par personne.
    """
    lengths = [len(prompt) for prompt in prompts]
    width = max(lengths)
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    if min(lengths) == width:
        return ids, None
    mask = torch.arange(width) >= width - torch.tensor(lengths)[:, None]
    return ids, mask


class CachedReader:
    """Ne calcule que le jeton nouveau : le passé est dans la mémoire cache.

    `n_positions` : le plus grand nombre de positions qu’un texte occupera.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]], n_positions: int):
        self.model = model
        self.ids, self.mask = pad_left(prompts)
        self.device = model.embedding.tokens.weight.device
        self.ids = self.ids.to(self.device)
        self.cache = model.new_cache(len(prompts), max(n_positions, self.ids.shape[1]))
        if self.mask is not None:
            # Les colonnes à venir sont de vrais jetons : le masque est prêt pour toute la suite.
            width = self.cache.blocks[0].self_attention.max_seq_len
            mask = torch.ones(len(prompts), width, dtype=torch.bool)
            mask[:, : self.ids.shape[1]] = self.mask
            self.mask = mask.to(self.device)

    def start(self) -> Tensor:
        """Lit toutes les amorces d’un coup."""
        return self._read(self.ids)

    def step(self, ids: Sequence[int]) -> Tensor:
        """Lit un jeton de plus par texte."""
        return self._read(torch.tensor(ids, device=self.device)[:, None])

    def _read(self, ids: Tensor) -> Tensor:
        end = self.cache.length + ids.shape[1]
        mask = None if self.mask is None else self.mask[:, :end]
        with reading(self.model):
            hidden = self.model.hidden(ids, padding_mask=mask, cache=self.cache)
            return widened(self.model.head(hidden[:, -1]))  # la seule dernière position sert

    def keep(self, rows: Sequence[int]) -> None:
        """Ne garde que les textes `rows`, dans cet ordre, et le remplissage qu’il leur faut."""
        rows = torch.tensor(rows, device=self.device)
        with torch.inference_mode():
            self.cache.select(rows)
            if self.mask is not None:
                self._trim(self.mask[rows])

    def restart(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Met `texts`, lus depuis la position 0, à la place de ce que ces lignes avaient lu.

        Un texte vide ne lit rien : sa ligne attend son premier jeton.
        """
        end = self.cache.length
        pairs = [(row, text) for row, text in zip(rows, texts, strict=True) if text]
        keys = self.cache.blocks[0].self_attention.keys
        mask = torch.ones(len(keys), keys.shape[2], dtype=torch.bool, device=self.device)
        if self.mask is not None:
            mask = self.mask.clone()
        mask[list(rows), :end] = False
        with torch.inference_mode():
            if pairs:
                fresh = CachedReader(self.model, [text for _, text in pairs], 0)
                fresh.start()
            for i, (row, text) in enumerate(pairs):
                mask[row, end - len(text) : end] = True
                blocks = zip(self.cache.blocks, fresh.cache.blocks, strict=True)
                for ours, theirs in ((a.self_attention, b.self_attention) for a, b in blocks):
                    ours.keys[row, :, end - len(text) : end] = theirs.keys[i, :, -len(text) :]
                    ours.values[row, :, end - len(text) : end] = theirs.values[i, :, -len(text) :]
            self._trim(mask)

    def _trim(self, mask: Tensor) -> None:
        """Retire les colonnes où plus personne n’a de vrai jeton.

        Sans cela, un texte court s’arrêterait quand le plus long a rempli le contexte.
        """
        length = self.cache.length
        useless = length - int(mask[:, :length].sum(dim=1).max())
        self.cache.drop_first(useless)
        mask = torch.cat((mask[:, useless:], mask.new_ones(len(mask), useless)), dim=1)
        self.mask = None if mask.all() else mask


class RereadingReader:
    """Relit tout le texte à chaque jeton : lent, sans mémoire, il sert de point de comparaison."""

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]], n_positions: int = 0):
        self.model = model
        self.texts = [list(prompt) for prompt in prompts]

    def start(self) -> Tensor:
        """Lit toutes les amorces."""
        ids, mask = pad_left(self.texts)
        device = self.model.embedding.tokens.weight.device
        mask = None if mask is None else mask.to(device)
        with reading(self.model):
            hidden = self.model.hidden(ids.to(device), padding_mask=mask)
            return widened(self.model.head(hidden[:, -1]))

    def step(self, ids: Sequence[int]) -> Tensor:
        """Ajoute un jeton à chaque texte, puis relit tout."""
        for text, token_id in zip(self.texts, ids, strict=True):
            text.append(token_id)
        return self.start()

    def keep(self, rows: Sequence[int]) -> None:
        """Ne garde que les textes `rows`, dans cet ordre (une ligne peut être répétée)."""
        self.texts = [list(self.texts[row]) for row in rows]

    def restart(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Met `texts` à la place de ce que ces lignes avaient lu ; un texte peut être vide."""
        for row, text in zip(rows, texts, strict=True):
            self.texts[row] = list(text)
