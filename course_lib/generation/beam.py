"""La recherche en faisceau : suivre plusieurs débuts à la fois, garder les plus probables.

Choisir le meilleur jeton à chaque pas ne donne pas le meilleur texte. Le faisceau garde les n
débuts les plus probables et les prolonge tous ; à n assez grand, c’est une recherche exhaustive.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn

from course_lib.generation.checks import check_prompts, check_stops, check_window, n_writable
from course_lib.generation.readers import CachedReader
from course_lib.generation.sampling import check_scores, single_precision
from course_lib.generation.writer import window_start


@dataclass(frozen=True)
class Beam:
    """Une suite : ses jetons (arrêt compris), sa log-probabilité en nats, et son score.

    score = log_prob / (nombre de jetons)^length_penalty. Source : Wu et al. 2016, §7, forme simple.
    """

    ids: list[int]
    log_prob: float
    score: float


def beam_search(
    model: nn.Module,
    prompt: Sequence[int],
    n_beams: int,
    max_new_tokens: int,
    *,
    length_penalty: float = 1.0,
    stop_ids: Sequence[int] = (),
    when_full: str = "slide",
    n_kept: int = 0,
) -> list[Beam]:
    """Les suites les mieux notées, de la meilleure à la moins bonne (au plus `n_beams`).

    `length_penalty` : 0 compare les probabilités et favorise les textes courts ; 1 compare les
    moyennes par jeton. Une suite finit sur un jeton d’arrêt ou à `max_new_tokens` ; au bout du
    contexte, la fenêtre glisse, ou la suite finit (`when_full`, `n_kept` : voir `generate`).
    ValueError si un réglage est impossible, TypeError s’il n’est pas de la bonne sorte.
    """
    (prompt,) = check_prompts(model, [prompt], max_new_tokens)
    _check_settings(n_beams, length_penalty)
    check_window(model, when_full, n_kept)
    stop_ids, _ = check_stops(stop_ids, (), n_writable(model))
    context = model.embedding.context_length
    n_read, n_new = len(prompt), max_new_tokens
    if when_full == "stop":
        n_new = min(n_new, context - n_read + 1)

    def scored(ids: list[int], log_prob: float) -> Beam:
        return Beam(ids, log_prob, log_prob / len(ids) ** length_penalty)

    reader = CachedReader(model, [prompt], min(context, n_read + n_new - 1))
    logits, beams, finished = reader.start(), [([], 0.0)], []
    for length in range(1, n_new + 1):
        active = []
        for rank, (row, ids, log_prob) in enumerate(_extensions(logits, beams, n_beams, stop_ids)):
            if ids[-1] not in stop_ids:
                active.append((row, ids, log_prob))
            elif rank < n_beams:  # une fin ne compte que si elle est parmi les meilleures
                finished.append(scored(ids, log_prob))
        active = active[:n_beams]
        finished = sorted(finished, key=lambda beam: -beam.score)[:n_beams]
        if length == n_new:
            finished += [scored(ids, log_prob) for _, ids, log_prob in active]
        if length == n_new or not active:
            break
        # Un texte ne peut que perdre de la probabilité : voici le mieux qu’on puisse espérer.
        longest = n_new if length_penalty > 0 else length + 1
        hope = active[0][2] / longest**length_penalty
        if len(finished) == n_beams and (n_beams == 1 or finished[-1].score >= hope):
            break
        reader.keep([row for row, _, _ in active])
        beams = [(ids, log_prob) for _, ids, log_prob in active]
        if n_read == context:
            starts = [window_start([*prompt, *ids], context, n_kept) for ids, _ in beams]
            reader.restart(range(len(beams)), starts)
            n_read = len(starts[0])
        logits = reader.step([ids[-1] for ids, _ in beams])
        n_read += 1
    return sorted(finished, key=lambda beam: -beam.score)[:n_beams]


def _extensions(
    logits: Tensor, beams: list[tuple[list[int], float]], n_beams: int, stop_ids: set[int]
) -> list[tuple[int, list[int], float]]:
    """Les meilleurs prolongements (ligne, ids, log-probabilité), du plus au moins probable.

    On en garde assez pour que n_beams d’entre eux continuent, même si tous les autres finissent.
    """
    logits = single_precision(logits)
    check_scores(logits)
    totals = torch.tensor([log_prob for _, log_prob in beams], dtype=torch.float64)
    totals = totals[:, None] + logits.log_softmax(dim=-1).double().cpu()  # (lignes, V)
    n_candidates = min(n_beams * (1 + max(1, len(stop_ids))), totals.numel())
    best, places = totals.flatten().topk(n_candidates)
    candidates = []
    for log_prob, place in zip(best.tolist(), places.tolist(), strict=True):
        row, token_id = divmod(place, totals.shape[1])
        candidates.append((row, [*beams[row][0], token_id], log_prob))
    return candidates


def _check_settings(n_beams: int, length_penalty: float) -> None:
    if type(n_beams) is not int or n_beams < 1:
        raise ValueError(
            f"n_beams = {n_beams!r} : il faut un entier d’au moins 1 ; 1 revient à l’écriture "
            "gloutonne."
        )
    number = isinstance(length_penalty, Real) and not isinstance(length_penalty, bool)
    if not (number and math.isfinite(length_penalty)):
        raise ValueError(
            f"length_penalty = {length_penalty!r} : il faut un nombre fini. 0 compare les "
            "probabilités, 1 les moyennes par jeton."
        )
