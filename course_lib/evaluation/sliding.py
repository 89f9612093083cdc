"""Lire un texte plus long que le contexte, et dire ce que chaque jeton y a coûté.

La fenêtre avance de la moitié du contexte : hors du tout début, un jeton est prédit en sachant au
moins le demi-contexte qui le précède. Coupé en fenêtres bout à bout, le même texte paraîtrait plus
surprenant qu’il ne l’est : chaque fenêtre commencerait sans rien savoir.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from course_lib.generation.readers import reading
from course_lib.transformer import Decoder
from course_lib.transformer.precision import widened

_AT_ONCE = 1 << 12  # jetons lus d’un coup
_SCORED_AT_ONCE = 1 << 9  # jetons dont les scores, (jetons, V), tiennent en mémoire ensemble


def sliding_windows(n_targets: int, context_length: int) -> Iterator[tuple[int, int]]:
    """(début, premier rang compté) de chaque fenêtre : chaque cible est comptée une seule fois."""
    width, done = min(context_length, n_targets), 0
    while done < n_targets:
        end = width if done == 0 else min(done + max(1, width // 2), n_targets)
        yield end - width, done - (end - width)
        done = end


def sliding_nats(
    model: Decoder,
    ids: Sequence[int],
    context_length: int | None = None,
    on_read: Callable[[int], None] | None = None,
) -> float:
    """Surprise totale des jetons qui suivent le premier, en nats ; 0 s’il n’y en a qu’un.

    `context_length` : la largeur de la fenêtre, celle du modèle au plus. `on_read(n)` est appelée
    après chaque lot, avec le nombre de jetons comptés. ValueError si la fenêtre est impossible.
    """
    limit = model.embedding.context_length
    context_length = limit if context_length is None else context_length
    if not 1 <= context_length <= limit:
        raise ValueError(
            f"context_length = {context_length} : ce modèle lit de 1 à {limit} jetons à la fois."
        )
    ids = torch.as_tensor(ids, dtype=torch.long)
    width, total = min(context_length, len(ids) - 1), 0.0
    windows = list(sliding_windows(len(ids) - 1, context_length))
    size = max(1, _AT_ONCE // max(1, width))
    for first in range(0, len(windows), size):
        nats = _window_nats(model, ids, width, windows[first : first + size])
        total += float(nats.sum())
        if on_read is not None:
            on_read(len(nats))
    return total


def _window_nats(model: Decoder, ids: Tensor, width: int, windows: Sequence) -> Tensor:
    """Surprise de chaque jeton compté d’un lot de fenêtres, en nats, (N,)."""
    device = model.embedding.tokens.weight.device
    starts, firsts = (torch.tensor(column)[:, None] for column in zip(*windows, strict=True))
    places = starts + torch.arange(width)  # (B, T)
    counted = (torch.arange(width) >= firsts).to(device)  # (B, T)
    targets = ids[places + 1].to(device)[counted]  # (N,)
    with reading(model):
        hidden = model.hidden(ids[places].to(device))[counted]  # (N, D)
        parts = []
        for start in range(0, len(targets), _SCORED_AT_ONCE):
            logits = widened(model.head(hidden[start : start + _SCORED_AT_ONCE]))  # (n, V)
            chosen = targets[start : start + _SCORED_AT_ONCE, None]
            parts.append(logits.logsumexp(-1) - logits.gather(1, chosen)[:, 0])
    return torch.cat(parts).double()


def text_bits(
    model: Decoder,
    ids: Sequence[int],
    start_ids: Sequence[int] = (),
    context_length: int | None = None,
    on_read: Callable[[int], None] | None = None,
) -> float:
    """Longueur du code d’un texte, en bits : de quoi le retrouver, jeton après jeton.

    Sans jeton de début (`start_ids`), rien ne prédit le premier : il coûte log2(V), un choix
    parmi tous. ValueError si le texte n’a aucun jeton.
    """
    if not ids:
        raise ValueError("Le texte ne donne aucun jeton : il n’y a rien à mesurer.")
    nats = sliding_nats(model, [*start_ids[-1:], *ids], context_length, on_read)
    first = 0.0 if start_ids else math.log(len(model.embedding.tokens.weight))
    return (nats + first) / math.log(2)
