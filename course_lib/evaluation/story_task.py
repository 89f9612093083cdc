"""Les micro-histoires mises en jetons, et la mesure d’un modèle face à l’oracle.

L’oracle est le générateur lui-même : il connaît la probabilité exacte de chaque texte. Un modèle
qui donne à une histoire x la probabilité q(x) perd en moyenne, par rapport à lui,

    KL(p ‖ q) = E[log p(x) − log q(x)]   nats par histoire,

estimée ici sur des histoires de test. L’exercice des sondes est plus sévère qu’une moyenne : le
modèle réussit une sonde si, lisant le vrai début, il met en tête chacun de ses jetons.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from course_lib.corpora import SKILLS, Story, generate_stories
from course_lib.ngram import KneserNeyModel
from course_lib.tokenization import Tokenizer, WordTokenizer
from course_lib.training import SequenceBatches
from course_lib.transformer import evaluating

EVALUATION_BATCH = 50


@dataclass(frozen=True)
class Score:
    """Mesures d’un modèle : `kl` et `nats` par histoire, `perplexity` par jeton (fin comprise)."""

    nats: float
    kl: float
    perplexity: float
    skills: dict[str, float]


@dataclass(frozen=True)
class StoryTask:
    """Des histoires d’apprentissage en jetons, et celles qui servent à mesurer."""

    tokenizer: Tokenizer
    rows: list[list[int]]
    held_out: list[Story]
    held_out_rows: list[list[int]]
    probes: list[list[tuple[str, list[int]]]]  # par histoire : (compétence, rangs des jetons)

    @property
    def n_tokens(self) -> int:
        """Jetons à prédire dans les histoires d’apprentissage, fins comprises."""
        return sum(len(row) + 1 for row in self.rows)

    @property
    def n_held_out_tokens(self) -> int:
        return sum(len(row) + 1 for row in self.held_out_rows)

    def batches(self, batch_size: int, seed: int) -> SequenceBatches:
        """Source d’entraînement : `batch_size` histoires par pas."""
        return SequenceBatches(self.rows, batch_size, seed, *self._special_ids())

    def _special_ids(self) -> tuple[int, int, int]:
        return self.tokenizer.pad_id, self.tokenizer.bos_id, self.tokenizer.eos_id


def build_task(
    n_train: int,
    n_held_out: int,
    seed: int = 0,
    held_out_split: str = "test",
    tokenizer: Tokenizer | None = None,
) -> StoryTask:
    """Tire et découpe les histoires ; `seed` change celles d’apprentissage, jamais la mesure.

    Sans `tokenizer`, un jeton par mot ou par signe, appris sur ces histoires. Tout découpage sans
    mot inconnu convient : il garde tout le texte, aucune perte n’y est cachée.
    """
    stories = generate_stories(n_train, "train", seed)
    held_out = generate_stories(n_held_out, held_out_split)
    if tokenizer is None:
        tokenizer = WordTokenizer.train(story.text for story in stories)
    encoded = [tokenizer.encode_with_spans(story.text) for story in held_out]
    return StoryTask(
        tokenizer=tokenizer,
        rows=[tokenizer.encode(story.text) for story in stories],
        held_out=held_out,
        held_out_rows=[ids for ids, _ in encoded],
        probes=[
            _probe_tokens(story, spans) for story, (_, spans) in zip(held_out, encoded, strict=True)
        ],
    )


def oracle_score(task: StoryTask) -> Score:
    """Le meilleur score possible sur ces histoires : celui de leur probabilité exacte."""
    nats = -sum(story.log_prob for story in task.held_out)
    return _score(task, nats, dict.fromkeys(SKILLS, 1.0))


@torch.no_grad()
def score_network(model: nn.Module, task: StoryTask) -> Score:
    """Mesure un réseau ; il est évalué sans dropout, puis rendu dans le mode où il était."""
    source = SequenceBatches(task.held_out_rows, EVALUATION_BATCH, 0, *task._special_ids())
    nats, hits = 0.0, []
    with evaluating(model):
        for inputs, targets in source.in_order():
            log_probs = model(inputs).log_softmax(-1)  # (B, T, V)
            kept = targets >= 0
            chosen = log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]  # (B, T)
            nats -= float(chosen[kept].sum())
            hits += (log_probs.argmax(-1) == targets).tolist()
    return _score(task, nats, _skills(task, lambda story, rank: hits[story][rank]))


def score_ngram(model: KneserNeyModel, task: StoryTask) -> Score:
    """Mesure un n-gramme, ajusté sur des suites qui finissent par le jeton de fin."""
    rows = with_end(task.held_out_rows, task.tokenizer.eos_id)
    nats = -sum(float(model.log_probs(row).sum()) for row in rows)

    def hit(story: int, rank: int) -> bool:
        distribution = model.next_distribution(rows[story][:rank])
        return int(np.argmax(distribution)) == rows[story][rank]

    return _score(task, nats, _skills(task, hit))


def with_end(rows: Sequence[Sequence[int]], eos_id: int) -> list[list[int]]:
    """Ajoute à chaque suite son jeton de fin."""
    return [[*row, eos_id] for row in rows]


def _score(task: StoryTask, total_nats: float, skills: dict[str, float]) -> Score:
    n = len(task.held_out)
    kl = (total_nats + sum(story.log_prob for story in task.held_out)) / n
    perplexity = float(np.exp(total_nats / task.n_held_out_tokens))
    return Score(total_nats / n, kl, perplexity, skills)


def _skills(task: StoryTask, hit: Callable[[int, int], bool]) -> dict[str, float]:
    """Part des sondes réussies, par compétence."""
    outcomes: dict[str, list[bool]] = {skill: [] for skill in SKILLS}
    for story, probes in enumerate(task.probes):
        for skill, ranks in probes:
            outcomes[skill].append(all(hit(story, rank) for rank in ranks))
    return {skill: float(np.mean(values)) for skill, values in outcomes.items()}


def _probe_tokens(story: Story, spans: list[tuple[int, int]]) -> list[tuple[str, list[int]]]:
    """Rangs des jetons que couvre chaque sonde."""
    return [
        (probe.skill, [i for i, (a, b) in enumerate(spans) if a < probe.end and b > probe.start])
        for probe in story.probes
    ]
