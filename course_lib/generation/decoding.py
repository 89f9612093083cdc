"""Écrire la suite d’un texte, jeton après jeton.

À chaque tour, le modèle donne les scores du jeton suivant, on en choisit un, on l’ajoute au texte.
Un texte s’arrête sur un jeton ou une suite d’arrêt, ou au nombre de jetons demandé. Le modèle lit
au plus `context_length` jetons : quand le contexte est plein, on relit la fin du texte et l’on
continue (`when_full="slide"`), ou l’on s’arrête (« stop »). Le dernier jeton écrit n’est pas relu.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.generation.checks import check_continuation, check_prompts
from course_lib.generation.readers import CachedReader, reading
from course_lib.generation.sampling import (
    SamplingConfig,
    check_scores,
    next_distribution,
    scored_ids,
    single_precision,
)
from course_lib.generation.writer import Generation, Writer


@dataclass(frozen=True)
class Step:
    """Un jeton écrit au fil de l’eau, et la distribution (V,) où il a été choisi."""

    token_id: int
    log_prob: float
    distribution: Tensor


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    sampling: SamplingConfig | None = None,
    stop_ids: Sequence[int] = (),
    stop_sequences: Sequence[Sequence[int]] = (),
    seed: int = 0,
    reader: Callable = CachedReader,
    when_full: str = "slide",
    n_kept: int = 0,
) -> list[Generation]:
    """Écrit la suite de chaque amorce ; elles peuvent avoir des longueurs différentes.

    Un texte fini quitte le lot. Le texte i tire ses nombres de `row_seeds(seed, …)[i]` : ses
    voisins n’y changent rien. `reader` dit qui lit le modèle : `RereadingReader` relit tout à
    chaque jeton, `NumbaReader` (course_lib.acceleration, modèles de type Llama) est plus rapide.
    Contexte plein : « slide » garde les `n_kept` premiers jetons et la moitié la plus récente de la
    place qui reste, « stop » s’arrête là. ValueError si une amorce est vide, trop longue, hors du
    vocabulaire, ou si un réglage est impossible ; TypeError s’il n’est pas de la bonne sorte.
    """
    writer = Writer(
        model,
        prompts,
        max_new_tokens,
        sampling=sampling,
        stop_ids=stop_ids,
        stop_sequences=stop_sequences,
        seed=seed,
        reader=reader,
        when_full=when_full,
        n_kept=n_kept,
    )
    for _ in writer.steps():
        pass
    return writer.results


def stream(
    model: nn.Module, prompt: Sequence[int], max_new_tokens: int, **settings
) -> Iterator[Step]:
    """Comme `generate` pour une seule amorce, en rendant chaque jeton dès qu’il est écrit.

    `settings` : les réglages de `generate`. Ceux qui sont impossibles sont refusés dès l’appel,
    avant le premier jeton.
    """
    return _stream_steps(Writer(model, [prompt], max_new_tokens, **settings))


def _stream_steps(writer: Writer) -> Iterator[Step]:
    for _ in writer.steps():
        result = writer.results[0]
        yield Step(result.ids[-1], result.log_probs[-1], writer.distributions()[0])


def next_token_distribution(
    model: nn.Module, ids: Sequence[int], sampling: SamplingConfig | None = None
) -> Tensor:
    """Probabilités (V,) du jeton qui suit `ids`, tous réglages appliqués."""
    (ids,) = check_prompts(model, [ids], 1)
    logits = CachedReader(model, [ids], len(ids)).start()[0]
    return next_distribution(logits, sampling, scored_ids(ids, logits))


def continuation_log_probs(
    model: nn.Module, prompt_ids: Sequence[int], continuation_ids: Sequence[int]
) -> Tensor:
    """Log-probabilité (n,), en nats, de chaque jeton d’une suite donnée.

    Leur somme est la log-probabilité de la suite entière : chaque jeton est jugé sachant tous ceux
    qui le précèdent. ValueError si l’amorce ou la suite est vide, ou l’ensemble trop long.
    """
    prompt, continuation = check_continuation(model, prompt_ids, continuation_ids)
    device = model.embedding.tokens.weight.device
    ids = torch.tensor([prompt + continuation[:-1]], device=device)  # le dernier n’est pas lu
    with reading(model):
        logits = single_precision(model.head(model.hidden(ids)[0, len(prompt) - 1 :]))  # (n, V)
    check_scores(logits)
    targets = torch.tensor(continuation, device=device)
    return logits.log_softmax(dim=-1).gather(1, targets[:, None])[:, 0]
