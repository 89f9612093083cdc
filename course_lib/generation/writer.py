"""L’écriture d’un lot de textes : choisir, écrire, s’arrêter, faire glisser la fenêtre.

Quand un texte remplit le contexte, le jeton suivant n’a plus de place. La fenêtre glisse : on ne
garde que les premiers jetons (`n_kept`) et la moitié la plus récente de la place qui reste, et le
modèle relit ce début de mémoire. La relecture ne revient qu’une fois par demi-contexte.

    lu :  <bos> a b c d e f g │ h écrit      →      <bos> f g h │ la suite
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.generation.checks import check_prompts, check_stops, check_window, n_writable
from course_lib.generation.readers import CachedReader
from course_lib.generation.sampling import (
    SamplingConfig,
    check_sampling,
    check_scores,
    draw,
    next_distribution,
    penalized_logits,
    scored_ids,
    single_precision,
)
from course_lib.generation.stopping import WrittenText

_DRAWN_AHEAD = 256  # nombres tirés d’avance pour un texte


@dataclass(frozen=True)
class Generation:
    """Une suite écrite. `ids` : les jetons nouveaux, jeton ou suite d’arrêt compris.

    `log_probs` : log-probabilité de chacun selon le modèle, sans réglage (température 1), en nats.
    `stopped_by` : « stop_id », « stop_sequence », « max_new_tokens », ou « context » si l’on a
    demandé de s’arrêter au contexte. `text` : ce qu’en montre `TextGenerator`, sans jetons
    spéciaux et coupé avant l’arrêt ; None pour une suite d’ids.
    """

    ids: list[int]
    log_probs: list[float]
    stopped_by: str
    text: str | None = None


def row_seeds(seed: int, n_rows: int) -> list[int]:
    """La graine de chaque texte d’un lot ; celle du texte i ne dépend pas de la taille du lot."""
    if type(seed) is not int or seed < 0:
        raise ValueError(f"seed = {seed!r} : il faut un entier positif ou nul, par exemple 0.")
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n_rows, np.uint64)]


def window_start(text: Sequence[int], context: int, n_kept: int) -> list[int]:
    """Ce qu’on relit quand la fenêtre glisse : `text` sans son dernier jeton, qui reste à lire."""
    n_recent = max(1, (context - n_kept) // 2)
    return [*text[:n_kept], *text[len(text) - n_recent :]][:-1]


class _Uniforms:
    """Les nombres d’un texte, tirés d’une graine qui n’est qu’à lui : ses voisins n’y font rien."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)
        self._numbers: list[float] = []

    def next(self) -> float:
        """Le nombre suivant, dans [0, 1[."""
        if not self._numbers:
            drawn = torch.empty(_DRAWN_AHEAD, dtype=torch.float64)
            self._numbers = drawn.uniform_(generator=self._generator).tolist()[::-1]
        return self._numbers.pop()


class Writer:
    """L’état d’un lot en cours d’écriture ; `lines` : les textes qui ne sont pas finis.

    `written` : le texte de chaque suite, s’il y a un tokeniseur ; il dit aussi quand s’arrêter.
    Les autres réglages sont ceux de `generate`.
    """

    def __init__(
        self,
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
        written: Sequence[WrittenText] = (),
    ):
        self.sampling = check_sampling(sampling)
        prompts = check_prompts(model, prompts, max_new_tokens)
        check_window(model, when_full, n_kept)
        stops = check_stops(stop_ids, stop_sequences, n_writable(model))
        self.stop_ids, self.stop_sequences = stops
        seeds = row_seeds(seed, len(prompts))
        self.max_new_tokens, self.n_kept = max_new_tokens, n_kept
        self.context, self.slides = model.embedding.context_length, when_full == "slide"
        longest = max(map(len, prompts)) + max_new_tokens - 1
        n_positions = min(self.context, longest)
        if not callable(reader):
            raise TypeError(
                f"reader = {reader!r} : donnez une façon de lire, CachedReader, RereadingReader ou "
                "NumbaReader (course_lib.acceleration)."
            )
        self.reader = reader(model, prompts, n_positions)
        self.texts = [list(prompt) for prompt in prompts]
        self.n_read = [len(prompt) for prompt in prompts]
        self.results = [Generation([], [], "") for _ in prompts]
        self.written = list(written)
        self.lines = list(range(len(prompts)))
        self.uniforms = [_Uniforms(one) for one in seeds] if self.sampling.temperature else None
        self._before: tuple[Tensor, list[list[int]] | None] | None = None
        self._distributions: Tensor | None = None

    def steps(self) -> Iterator[Tensor]:
        """Écrit un jeton par texte en cours à chaque tour ; rend les scores (B, V) du tour."""
        logits = single_precision(self.reader.start())
        while True:
            check_scores(logits)
            chosen = self._choose(logits)
            self._write(logits, chosen)
            kept = [i for i, line in enumerate(self.lines) if not self._stops(line)]
            yield logits
            if not kept:
                return
            if len(kept) < len(self.lines):
                self.reader.keep(kept)
                self.lines = [self.lines[i] for i in kept]
                chosen = chosen[kept]
            self._slide()
            logits = single_precision(self.reader.step(chosen.tolist()))
            for line in self.lines:
                self.n_read[line] += 1

    def distributions(self) -> Tensor:
        """Les distributions (B, V) où les textes en cours viennent de choisir."""
        if self._distributions is None:
            logits, previous_ids = self._before
            self._distributions = next_distribution(logits, self.sampling, previous_ids)
        return self._distributions

    def _choose(self, logits: Tensor) -> Tensor:
        previous_ids = None
        if self.sampling.repetition_penalty != 1.0:
            previous_ids = [scored_ids(self.texts[line], logits) for line in self.lines]
        self._before, self._distributions = (logits, previous_ids), None
        if self.uniforms is None:
            scores = penalized_logits(logits, self.sampling, previous_ids).cpu()
            return torch.from_numpy(scores.numpy().argmax(axis=1))  # NumPy : trente fois plus vite
        uniforms = [self.uniforms[line].next() for line in self.lines]
        return draw(self.distributions().cpu(), torch.tensor(uniforms, dtype=torch.float64))

    def _write(self, logits: Tensor, chosen: Tensor) -> None:
        log_probs = logits.gather(1, chosen.to(logits.device)[:, None])[:, 0] - logits.logsumexp(1)
        for line, token_id, log_prob in zip(
            self.lines, chosen.tolist(), log_probs.tolist(), strict=True
        ):
            self.texts[line].append(token_id)
            self.results[line].ids.append(token_id)
            self.results[line].log_probs.append(log_prob)

    def _slide(self) -> None:
        """Fait relire la fin des textes qui ont rempli le contexte, avant d’y ajouter un jeton."""
        full = [i for i, line in enumerate(self.lines) if self.n_read[line] == self.context]
        if not full:
            return
        lines = [self.lines[i] for i in full]
        starts = [window_start(self.texts[line], self.context, self.n_kept) for line in lines]
        self.reader.restart(full, starts)
        for line, start in zip(lines, starts, strict=True):
            self.n_read[line] = len(start)

    def _stops(self, line: int) -> bool:
        reason = self._reason(line)
        if not reason:
            return False
        text = None
        if self.written:
            self.written[line].finish()
            text = self.written[line].text
        self.results[line] = replace(self.results[line], stopped_by=reason, text=text)
        return True

    def _reason(self, line: int) -> str:
        """Ce qui arrête ce texte, « » s’il continue."""
        ids = self.results[line].ids
        if ids[-1] in self.stop_ids:
            return "stop_id"
        written = self.written[line] if self.written else None
        if written is not None:
            written.add(ids[-1])
        ends = [end for end in self.stop_sequences if ids[-len(end) :] == end]
        if ends and written is not None:
            written.cut(max(map(len, ends)))
        if ends or (written is not None and written.stopped):
            return "stop_sequence"
        if len(ids) == self.max_new_tokens:
            return "max_new_tokens"
        if not self.slides and self.n_read[line] == self.context:
            return "context"
        return ""
