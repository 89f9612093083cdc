"""Répondre d’après une fiche : ce que la recherche ôte d’inventions, et quand elle égare.

    python -m course_experiments.retrieval --seeds 0 1 2

Un petit modèle apprend à lire des fiches : des personnes dont les faits sont tirés à neuf chaque
fois, de sorte que rien ne peut être su par cœur. Le « confiant » n’a vu que des fiches qui
répondent à la question ; le « prudent » a vu aussi celles d’un autre, et devait alors avouer. BM25
cherche ensuite, pour chaque question, la meilleure fiche d’une bibliothèque qui contient tous les
connus et la moitié des inconnus. Les mesures vont dans `results/retrieval.json`, graine par
graine ; une commande interrompue reprend où elle en était.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from course_experiments.experiment import Experiment
from course_experiments.hallucination import Fact
from course_lib.corpora.microworld.biographies import (
    ATTRIBUTES,
    BIRTH_YEARS,
    CITIES,
    PETS,
    REFUSAL,
    TRADES,
    Person,
    World,
    build_world,
    every_fact,
    prompt,
    values,
)
from course_lib.corpora.microworld.cards import card, card_prompt
from course_lib.finetuning import AnswerExamples
from course_lib.generation import CachedReader
from course_lib.retrieval import BM25
from course_lib.tokenization import WordTokenizer
from course_lib.training import TrainingConfig, train
from course_lib.transformer import LlamaConfig, llama

CONTEXT_LENGTH = 32
OTHER_SHARE = {"confiant": 0.0, "prudent": 0.25}  # part des fiches qui parlent de quelqu’un d’autre


@dataclass(frozen=True)
class Budget:
    """Tailles du monde, du modèle et de l’entraînement."""

    n_known: int = 200
    n_unknown: int = 200
    n_card_people: int = 300
    n_steps: int = 1400
    batch_size: int = 32
    d_model: int = 64
    learning_rate: float = 6e-3


def new_facts(person: Person, rng: random.Random) -> Person:
    """La même personne, dont les quatre faits sont tirés à neuf."""
    trade = rng.choice(TRADES)[0 if person.gender == "f" else 1]
    return replace(
        person,
        city=rng.choice(CITIES),
        trade=trade,
        birth_year=rng.choice(BIRTH_YEARS),
        pet=rng.choice(PETS),
    )


def card_lessons(
    people: Sequence[Person], n: int, other_share: float, seed: int
) -> list[tuple[str, str]]:
    """`n` couples (fiche et question, réponse).

    Dans une part `other_share`, la fiche est celle de quelqu’un d’autre, de même prénom ou de même
    nom, et la réponse est « je ne sais pas ».
    """
    rng, lessons = random.Random(f"fiches/{seed}"), []
    namesakes = {
        person.name: [p for p in people if (p.first == person.first) != (p.last == person.last)]
        for person in people
    }
    for _ in range(n):
        person, attribute = new_facts(rng.choice(people), rng), rng.choice(ATTRIBUTES)
        shown, truth = person, person.fact(attribute)
        if rng.random() < other_share and namesakes[person.name]:
            shown, truth = new_facts(rng.choice(namesakes[person.name]), rng), REFUSAL
        lessons.append((card_prompt(card(shown), person, attribute), truth))
    return lessons


def train_reader(
    name: str, seed: int, budget: Budget | None = None, **options
) -> tuple[nn.Module, WordTokenizer, World]:
    """Le modèle d’une leçon (clé de `OTHER_SHARE`), son vocabulaire et son monde.

    `options` : celles de `train`, par exemple `stop_at`.
    """
    budget = budget or Budget()
    world = build_world(budget.n_known, budget.n_unknown, budget.n_card_people, seed)
    n_lessons = budget.n_steps * budget.batch_size
    lessons = card_lessons(world.refused, n_lessons, OTHER_SHARE[name], seed)
    every_value = [value for attribute in ATTRIBUTES for value in values(attribute)]
    asked = [question for question, _ in lessons]
    tokenizer = WordTokenizer.train([*asked, *every_value, f"{REFUSAL}."])
    examples = [
        (
            [tokenizer.bos_id, *tokenizer.encode(question)],
            [*tokenizer.encode(f"{truth}."), tokenizer.eos_id],
        )
        for question, truth in lessons
    ]
    model = llama(LlamaConfig(tokenizer.vocab_size, CONTEXT_LENGTH, budget.d_model, 2, 4), seed)
    source = AnswerExamples(examples, budget.batch_size, seed, tokenizer.pad_id)
    config = TrainingConfig(budget.n_steps, budget.learning_rate, seed=seed, n_threads=1)
    train(model, source, config, **options)
    return model, tokenizer, world


@torch.no_grad()
def next_words(model: nn.Module, tokenizer: WordTokenizer, texts: Sequence[str]) -> Tensor:
    """La probabilité du mot suivant après chaque amorce, (n, V)."""
    prompts = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in texts]
    return CachedReader(model, prompts, max(map(len, prompts))).start().softmax(-1)


def judge(
    model: nn.Module, tokenizer: WordTokenizer, facts: Sequence[Fact], shown: Sequence[Person]
) -> dict[str, float]:
    """Les réponses gloutonnes à ces questions, chacune après la fiche de la personne `shown`.

    Parts des réponses : `right` justes, `refused` avouées, `invented` (une valeur fausse),
    `from_card` (la valeur que dit la fiche). `confidence` : moyenne, sur les inventions.
    """
    texts = [card_prompt(card(s), p, a) for (p, a), s in zip(facts, shown, strict=True)]
    confidence, chosen = next_words(model, tokenizer, texts).max(-1)
    words = [tokenizer.decode([i]) for i in chosen.tolist()]
    right = [word == p.fact(a) for word, (p, a) in zip(words, facts, strict=True)]
    invented = [
        not ok and word in values(a) for word, ok, (_, a) in zip(words, right, facts, strict=True)
    ]
    copied = [word == s.fact(a) for word, s, (_, a) in zip(words, shown, facts, strict=True)]
    sure = [float(c) for c, false in zip(confidence, invented, strict=True) if false]
    n = len(facts)
    return {
        "right": sum(right) / n,
        "refused": sum(word == REFUSAL.split()[0] for word in words) / n,
        "invented": sum(invented) / n,
        "from_card": sum(copied) / n,
        "confidence": sum(sure) / len(sure) if sure else 0.0,
        "facts": n,
    }


def library_of(world: World) -> tuple[Person, ...]:
    """Qui a une fiche : tous les connus, et un inconnu sur deux."""
    return (*world.known, *world.unknown[::2])


def found_cards(library: Sequence[Person], facts: Sequence[Fact]) -> list[Person]:
    """La fiche que BM25 met en tête pour chaque question."""
    search = BM25([card(person) for person in library])
    return [library[search.best(prompt(p, a, "question"))[0]] for p, a in facts]


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Apprend à lire, puis interroge avec la fiche de BM25, la bonne, et une fiche périmée."""
    start = time.process_time()
    model, tokenizer, world = train_reader(name, seed, budget)
    library, rng = library_of(world), random.Random(f"périmées/{seed}")
    result = {}
    for group, people in (
        ("known", world.known),
        ("with_card", world.unknown[::2]),
        ("without_card", world.unknown[1::2]),
    ):
        facts = every_fact(people)
        found = found_cards(library, facts)
        same = [f.name == p.name for f, (p, _) in zip(found, facts, strict=True)]
        result[group] = {"found": sum(same) / len(facts)} | judge(model, tokenizer, facts, found)
    facts = every_fact(world.unknown[::2])
    outdated = [new_facts(person, rng) for person, _ in facts]
    result["outdated"] = judge(model, tokenizer, facts, outdated)
    return result | {"cpu_seconds": time.process_time() - start}


EXPERIMENT = Experiment(
    "retrieval",
    "Mesure ce qu’un modèle invente, avec et sans une fiche à lire.",
    Budget(),
    list(OTHER_SHARE),
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
