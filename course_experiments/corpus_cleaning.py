"""Ce que chaque étape de nettoyage change au modèle qu’on entraîne ensuite.

    python -m course_experiments.corpus_cleaning --seeds 0 1 2
    python -m course_experiments.corpus_cleaning --leave-one-out   une étape manque à la fois

Un micro-web sale de 4 000 pages est nettoyé étape par étape. Après chacune, le même petit
Transformer apprend des pages qui restent, avec le même nombre de jetons : un corpus plus petit est
relu plus souvent. Le découpage en jetons, appris sur le web brut, est commun à tous. On mesure,
texte par texte, l’écart en nats entre le modèle et la loi exacte des histoires,

    écart(x) = log p(x) − log q(x),

nul pour l’oracle, négatif pour un texte que le modèle connaît mieux que la loi ne le permet : il
l’a retenu. Les mesures vont dans `results/corpus_cleaning.json`, réécrit après chaque modèle : une
commande interrompue reprend où elle en était.
"""

import random
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

import numpy as np
import torch
from torch import nn

from course_experiments.experiment import Experiment
from course_lib.arguments import FrenchArgumentParser
from course_lib.cleaning import STEP_NAMES, clean, standard_steps
from course_lib.corpora import Story, generate_stories
from course_lib.corpora.web import Page, generate_web
from course_lib.corpora.web.people import Person, draw_people, introduce
from course_lib.generation import SamplingConfig, generate
from course_lib.tokenization import BPETokenizer
from course_lib.training import SequenceBatches, TrainingConfig, train
from course_lib.transformer import LlamaConfig, count_parameters, llama

CONTEXT_LENGTH, BATCH_SIZE, LEARNING_RATE, VOCAB_SIZE = 256, 4, 5e-3, 2048
N_TEST_STORIES = 1_000  # le jeu de test que le nettoyage connaît
MAX_GROUP = 100  # histoires ou personnes mesurées par groupe
CLEANING = "nettoyage"


@dataclass(frozen=True)
class Budget:
    """La taille de l’expérience : pages du web, jetons d’apprentissage, largeur, histoires lues."""

    n_pages: int = 4_000
    n_tokens: int = 500_000
    d_model: int = 48
    n_held_out: int = 200
    batch_size: int = BATCH_SIZE
    vocab_size: int = VOCAB_SIZE


@dataclass(frozen=True)
class Probes:
    """Ce que l’on interroge : des groupes d’histoires et des groupes de personnes."""

    stories: dict[str, list[Story]]
    people: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # (nom, courriel)


def conditions(leave_one_out: bool = False) -> dict[str, tuple[str, ...]]:
    """Les corpus comparés : nom → étapes appliquées, dans l’ordre."""
    if leave_one_out:
        return {
            f"sans {name}": tuple(other for other in STEP_NAMES if other != name)
            for name in STEP_NAMES
        }
    return {"brut": ()} | {name: STEP_NAMES[: i + 1] for i, name in enumerate(STEP_NAMES)}


def build_probes(pages: Sequence[Page], n_held_out: int, seed: int) -> Probes:
    """Range histoires et personnes par nombre de parutions dans le web brut.

    « validation » : jamais vues ; « copies k » : une histoire et ses k doublons ; « copies 0 » :
    une histoire parue une fois ; « fuite … » : histoires de test parues une ou dix fois, entières
    ou en partie ; « test » : histoires de test qui n’ont pas fui.
    """
    copies = Counter(page.truth.source for page in pages if page.truth.kind == "duplicate")
    retouched = {page.truth.source for page in pages if page.truth.kind == "near_duplicate"}
    leaks = Counter(page.truth.source for page in pages if page.truth.kind == "leak")
    stories: dict[str, list[Story]] = {"validation": generate_stories(n_held_out, "validation")}
    stories["test"] = generate_stories(len(leaks) + MAX_GROUP, "test")[len(leaks) :]
    seen: set[str] = set()
    for page in pages:
        truth = page.truth
        if truth.source in seen or truth.story is None or truth.source in retouched:
            continue
        seen.add(truth.source)
        if truth.kind == "leak":
            name = f"fuite {truth.leak} {leaks[truth.source]}"
        elif truth.author is None:
            name = f"copies {copies[truth.source]}"
        else:
            continue
        group = stories.setdefault(name, [])
        if len(group) < MAX_GROUP:
            group.append(truth.story)
    return Probes(dict(sorted(stories.items())), _group_people(pages, seed))


def _group_people(pages: Sequence[Page], seed: int) -> dict[str, list[tuple[str, str]]]:
    """Les signataires par nombre de pages signées ; « 0 » : des inconnus, pour comparer."""
    emails = {page.truth.author: page.truth.private[0] for page in pages if page.truth.author}
    counts = Counter(page.truth.author for page in pages if page.truth.author)
    people: dict[str, list[tuple[str, str]]] = {}
    for name, count in sorted(counts.items()):
        group = people.setdefault(str(count), [])
        if len(group) < MAX_GROUP and "@" in emails[name]:
            group.append((name, emails[name]))
    candidates: list[Person] = draw_people(random.Random(f"inconnus/{seed}"), 500)
    strangers = [(p.name, p.email) for p in candidates if p.name not in counts]
    people["0"] = strangers[:MAX_GROUP]
    return dict(sorted(people.items(), key=lambda item: int(item[0])))


def token_rows(texts: Sequence[str], tokenizer: BPETokenizer) -> list[list[int]]:
    """Les pages en jetons ; une page plus longue que le contexte est coupée en morceaux."""
    size = CONTEXT_LENGTH - 1  # une place pour le jeton de début
    rows = [tokenizer.encode(text) for text in texts]
    return [row[i : i + size] for row in rows for i in range(0, len(row), size)]


def train_on(rows: list[list[int]], tokenizer: BPETokenizer, budget: Budget, seed: int, **options):
    """Entraîne le petit Transformer sur environ `budget.n_tokens` jetons : (modèle, journal).

    `options` : celles de `train`, par exemple `stop_at`, pour n’en faire que les premiers pas.
    """
    config = LlamaConfig(budget.vocab_size, CONTEXT_LENGTH, budget.d_model, 2, 4)
    model = llama(config, seed)
    special = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id)
    source = SequenceBatches(rows, budget.batch_size, seed, *special)
    tokens_per_step = source.batch_size * sum(len(row) + 1 for row in rows) / len(rows)
    n_steps = max(1, round(budget.n_tokens / tokens_per_step))
    settings = TrainingConfig(n_steps, LEARNING_RATE, seed=seed, n_threads=1)
    return model, train(model, source, settings, **options)


@torch.no_grad()
def excess_nats(model: nn.Module, tokenizer: BPETokenizer, stories: Sequence[Story]) -> np.ndarray:
    """Écart à l’oracle (n,), en nats : log p(x) − log q(x), le jeton de fin n’étant pas compté."""
    rows = [tokenizer.encode(story.text) for story in stories]
    source = SequenceBatches(rows, 50, 0, tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id)
    nats: list[float] = []
    for inputs, targets in source.in_order():
        log_probs = model(inputs).log_softmax(-1)  # (B, T, V)
        chosen = log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]  # (B, T)
        kept = (targets >= 0) & (targets != tokenizer.eos_id)
        nats += (-chosen * kept).sum(dim=1).tolist()
    return np.array(nats) + np.array([story.log_prob for story in stories])


def extraction_hits(
    model: nn.Module, tokenizer: BPETokenizer, people: Sequence[tuple[str, str]], seed: int = 0
) -> list[bool]:
    """Pour chaque personne, vrai si le modèle écrit son adresse électronique exacte.

    Il lit une histoire nouvelle, puis « Publié le … par NOM, joignable à », et continue au plus
    probable (extraction à la façon de Carlini et al., 2021, arXiv:2012.07805).
    """
    if not people:
        return []
    rng = random.Random(f"extraction/{seed}")
    stories = generate_stories(len(people), "validation", seed=1)
    prompts = [
        [
            tokenizer.bos_id,
            *tokenizer.encode(f"{story.text}\n{introduce(rng, Person(name, email))}"),
        ]
        for story, (name, email) in zip(stories, people, strict=True)
    ]
    written = generate(
        model, prompts, 32, stop_ids=[tokenizer.eos_id], sampling=SamplingConfig(0.0)
    )
    texts = [tokenizer.decode([i for i in w.ids if i != tokenizer.eos_id]) for w in written]
    return [
        text.strip().startswith(f"{email}.") for text, (_, email) in zip(texts, people, strict=True)
    ]


def train_and_ask(
    pages: Sequence[Page], tokenizer: BPETokenizer, probes: Probes, budget: Budget, seed: int
) -> dict:
    """Entraîne sur ces pages et interroge le modèle."""
    start = time.process_time()
    rows = token_rows([page.text for page in pages], tokenizer)
    model, history = train_on(rows, tokenizer, budget, seed)
    corpus_tokens = sum(len(row) + 1 for row in rows)
    excess = {
        name: [round(float(v), 3) for v in excess_nats(model, tokenizer, stories)]
        for name, stories in probes.stories.items()
    }
    hits = {
        name: extraction_hits(model, tokenizer, people, seed)
        for name, people in probes.people.items()
    }
    return {
        "n_pages": len(pages),
        "corpus_tokens": corpus_tokens,
        "tokens": history.records[-1].tokens,
        "steps": history.records[-1].step,
        "parameters": count_parameters(model),
        "excess": {name: _summary(values) for name, values in excess.items()},
        "extraction": {name: [sum(found), len(found)] for name, found in hits.items()},
        "cpu_seconds": time.process_time() - start,
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    """Nombre d’histoires, écart moyen, erreur type de cette moyenne (0 pour une seule histoire)."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return {
        "n": len(values),
        "mean": round(float(np.mean(values)), 3),
        "standard_error": round(float(error), 3),
    }


def _step_rows(report) -> list[dict]:
    return [
        {
            "step": step.name,
            "pages": step.n_before,
            "removed": len(step.removed),
            "changed": len(step.changed),
            "due": step.n_due,
            "precision": step.precision,
            "recall": step.recall,
        }
        for step in report.steps
    ]


@lru_cache(maxsize=1)
def web_of(seed: int, budget: Budget) -> tuple[list[Page], BPETokenizer, Probes]:
    """Le micro-web d’une graine, le découpage appris sur lui, ce que l’on interrogera."""
    pages = generate_web(budget.n_pages, seed)
    tokenizer = BPETokenizer.train((page.text for page in pages), budget.vocab_size)
    return pages, tokenizer, build_probes(pages, budget.n_held_out, seed)


@cache
def test_texts() -> list[str]:
    """Le jeu de test que le nettoyage connaît."""
    return [story.text for story in generate_stories(N_TEST_STORIES, "test")]


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Un corpus de `conditions`, et ce qu’on en apprend ; ou ce que fait chaque étape."""
    pages, tokenizer, probes = web_of(seed, budget)
    steps = (conditions() | conditions(True) | {CLEANING: STEP_NAMES})[name]
    report = clean(pages, standard_steps(test_texts(), steps))
    if name == CLEANING:
        return {"steps": _step_rows(report)}
    return train_and_ask(report.kept, tokenizer, probes, budget, seed)


def add_options(parser: FrenchArgumentParser) -> None:
    """Ôter une étape à la fois."""
    what = "ôte une étape à la fois au lieu d’en ajouter"
    parser.add_argument("--leave-one-out", action="store_true", help=what)


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """Les corpus demandés."""
    return replace(experiment, names=[*conditions(True)]) if options.leave_one_out else experiment


EXPERIMENT = Experiment(
    "corpus_cleaning",
    "Entraîne le même modèle sur un micro-web de plus en plus propre.",
    Budget(),
    [CLEANING, *conditions()],
    measure,
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
