"""Écrire la suite d’un texte, jeton après jeton.

À chaque tour, le modèle donne les scores du jeton suivant, on en choisit un, on l’ajoute au texte.
Un texte s’arrête sur un jeton ou une suite d’arrêt, au nombre de jetons demandé, ou quand le
contexte est plein. Le modèle lit au plus `context_length` jetons : le dernier écrit n’est pas relu.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.generation.checks import check_continuation, check_prompts, check_stops
from course_lib.generation.readers import open_reader, reading
from course_lib.generation.sampling import (
    SamplingConfig,
    draw,
    next_distribution,
    penalized_logits,
)
from course_lib.transformer.precision import widened


@dataclass(frozen=True)
class Generation:
    """Une suite écrite. `ids` : les jetons nouveaux, jeton ou suite d’arrêt compris.

    `log_probs` : log-probabilité de chacun selon le modèle, sans réglage (température 1), en nats.
    `stopped_by` : « stop_id », « stop_sequence », « max_new_tokens » ou « context ».
    """

    ids: list[int]
    log_probs: list[float]
    stopped_by: str


@dataclass(frozen=True)
class Step:
    """Un jeton écrit au fil de l’eau, et la distribution (V,) où il a été choisi."""

    token_id: int
    log_prob: float
    distribution: Tensor


def row_seeds(seed: int, n_rows: int) -> list[int]:
    """La graine de chaque texte d’un lot ; celle du texte i ne dépend pas de la taille du lot."""
    if type(seed) is not int or seed < 0:
        raise ValueError(f"seed = {seed!r} : il faut un entier positif ou nul, par exemple 0.")
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n_rows, np.uint64)]


class _Writer:
    """L’état d’un lot en cours d’écriture ; `lines` : les textes qui ne sont pas finis."""

    def __init__(self, model, prompts, max_new_tokens, sampling, stops, seed, use_cache, backend):
        self.sampling = sampling or SamplingConfig()
        prompts = check_prompts(model, prompts, max_new_tokens)
        self.stop_ids, self.stop_sequences = check_stops(*stops)
        context = model.embedding.context_length
        self.max_new_tokens = max_new_tokens
        # Un texte de n jetons laisse lire context − n jetons nouveaux ; le suivant se prédit.
        self.rooms = [min(max_new_tokens, context - len(p) + 1) for p in prompts]
        n_positions = max(len(p) + room - 1 for p, room in zip(prompts, self.rooms, strict=True))
        self.reader = open_reader(model, prompts, n_positions, use_cache, backend)
        self.texts = [list(prompt) for prompt in prompts]
        self.results = [Generation([], [], "") for _ in prompts]
        self.lines = list(range(len(prompts)))
        self.uniforms = None
        if self.sampling.temperature > 0.0:
            # Chaque texte a ses propres nombres : ses voisins de lot n’y changent rien.
            self.uniforms = torch.zeros(len(prompts), max(self.rooms), dtype=torch.float64)
            for numbers, row_seed in zip(self.uniforms, row_seeds(seed, len(prompts)), strict=True):
                numbers.uniform_(generator=torch.Generator().manual_seed(row_seed))

    def steps(self) -> Iterator[Tensor]:
        """Écrit un jeton par texte en cours à chaque tour ; rend les scores (B, V) du tour."""
        logits = self.reader.start()
        n_written = 0
        while True:
            chosen = self._choose(logits, n_written)
            n_written += 1
            self._write(logits, chosen)
            yield logits
            kept = [i for i, line in enumerate(self.lines) if not self._stops(line)]
            if not kept:
                return
            if len(kept) < len(self.lines):
                self.reader.keep(kept)
                self.lines = [self.lines[i] for i in kept]
                chosen = chosen[kept]
            logits = self.reader.step(chosen.tolist())

    def _choose(self, logits: Tensor, n_written: int) -> Tensor:
        if self.uniforms is None:
            return penalized_logits(logits, self.sampling, self._previous_ids()).argmax(dim=-1)
        probabilities = self.distributions(logits).cpu()
        return draw(probabilities, self.uniforms[self.lines, n_written])

    def distributions(self, logits: Tensor) -> Tensor:
        """Les distributions (B, V) où les textes en cours choisissent."""
        return next_distribution(logits, self.sampling, self._previous_ids())

    def _previous_ids(self) -> list[list[int]] | None:
        if self.sampling.repetition_penalty == 1.0:
            return None
        return [self.texts[line] for line in self.lines]

    def _write(self, logits: Tensor, chosen: Tensor) -> None:
        log_probs = logits.gather(1, chosen.to(logits.device)[:, None])[:, 0] - logits.logsumexp(1)
        for line, token_id, log_prob in zip(
            self.lines, chosen.tolist(), log_probs.tolist(), strict=True
        ):
            if not math.isfinite(log_prob):
                raise ValueError(
                    "Le modèle rend des scores qui ne sont pas des nombres finis : ses poids sont "
                    "abîmés. Relisez-les, ou reprenez un entraînement qui n’a pas divergé."
                )
            self.texts[line].append(token_id)
            self.results[line].ids.append(token_id)
            self.results[line].log_probs.append(log_prob)

    def _stops(self, line: int) -> bool:
        ids, reason = self.results[line].ids, ""
        if ids[-1] in self.stop_ids:
            reason = "stop_id"
        elif any(ids[-len(end) :] == end for end in self.stop_sequences):
            reason = "stop_sequence"
        elif len(ids) == self.max_new_tokens:
            reason = "max_new_tokens"
        elif len(ids) == self.rooms[line]:
            reason = "context"
        if reason:
            self.results[line] = Generation(ids, self.results[line].log_probs, reason)
        return bool(reason)


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    sampling: SamplingConfig | None = None,
    stop_ids: Sequence[int] = (),
    stop_sequences: Sequence[Sequence[int]] = (),
    seed: int = 0,
    use_cache: bool = True,
    backend: str = "torch",
) -> list[Generation]:
    """Écrit la suite de chaque amorce ; elles peuvent avoir des longueurs différentes.

    Un texte fini quitte le lot. Le texte i tire ses nombres de `row_seeds(seed, …)[i]` : ses
    voisins n’y changent rien. `use_cache=False` relit tout à chaque jeton ; `backend="numba"`
    écrit avec les noyaux de `course_lib.acceleration` (modèles de type Llama). ValueError si une
    amorce est vide, trop longue, hors du vocabulaire, ou si un réglage est impossible.
    """
    stops = (stop_ids, stop_sequences)
    writer = _Writer(model, prompts, max_new_tokens, sampling, stops, seed, use_cache, backend)
    for _ in writer.steps():
        pass
    return writer.results


def stream(
    model: nn.Module,
    prompt: Sequence[int],
    max_new_tokens: int,
    *,
    sampling: SamplingConfig | None = None,
    stop_ids: Sequence[int] = (),
    stop_sequences: Sequence[Sequence[int]] = (),
    seed: int = 0,
    use_cache: bool = True,
    backend: str = "torch",
) -> Iterator[Step]:
    """Comme `generate` pour une seule amorce, en rendant chaque jeton dès qu’il est écrit.

    Les réglages impossibles sont refusés dès l’appel, avant le premier jeton.
    """
    stops = (stop_ids, stop_sequences)
    writer = _Writer(model, [prompt], max_new_tokens, sampling, stops, seed, use_cache, backend)
    return _stream_steps(writer)


def _stream_steps(writer: _Writer) -> Iterator[Step]:
    for logits in writer.steps():
        result = writer.results[0]
        token_id = writer.texts[0].pop()  # la distribution est celle d’avant ce jeton
        distribution = writer.distributions(logits)[0]
        writer.texts[0].append(token_id)
        yield Step(token_id, result.log_probs[-1], distribution)


def next_token_distribution(
    model: nn.Module, ids: Sequence[int], sampling: SamplingConfig | None = None
) -> Tensor:
    """Probabilités (V,) du jeton qui suit `ids`, tous réglages appliqués."""
    (ids,) = check_prompts(model, [ids], 1)
    logits = open_reader(model, [ids], len(ids)).start()[0]
    return next_distribution(logits, sampling, ids)


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
        logits = widened(model.head(model.hidden(ids)[0, len(prompt) - 1 :]))  # (n, V)
    targets = torch.tensor(continuation, device=device)
    return logits.log_softmax(dim=-1).gather(1, targets[:, None])[:, 0]
