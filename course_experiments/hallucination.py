"""Inventer : ce que répond un modèle sur des gens dont il n’a rien lu, et avec quelle assurance.

    python -m course_experiments.hallucination --seeds 0 1 2

Quatre façons d’enseigner à dire « je ne sais pas » (`LESSONS`), puis un modèle qui a lu chaque fait
1, 2, 4… 32 fois. La réponse est le mot qui suit l’amorce : tout est calculé dans sa distribution,
rien n’est tiré au sort. Les mesures vont dans `results/hallucination.json`, graine par graine ;
une commande interrompue reprend où elle en était.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from course_experiments.experiment import Experiment
from course_lib.corpora.microworld.biographies import (
    ATTRIBUTES,
    KINDS,
    REFUSAL,
    Lessons,
    Person,
    Sentence,
    World,
    build_world,
    every_fact,
    generate_biographies,
    prompt,
    repeat_facts,
    values,
)
from course_lib.evaluation.calibration import auroc, calibration_curve, calibration_error
from course_lib.generation import CachedReader, SamplingConfig, next_distribution
from course_lib.tokenization import WordTokenizer
from course_lib.training import SequenceBatches, TrainingConfig, train
from course_lib.transformer import LlamaConfig, llama

TEMPERATURES = (0.0, 0.5, 1.0, 1.5)
COUNTS = (1, 2, 4, 8, 16, 32)
Fact = tuple[Person, str]


@dataclass(frozen=True)
class Budget:
    """Tailles du monde, du modèle et de l’entraînement.

    Les réglages `frequency` sont ceux de l’expérience des répétitions, dont le nombre de pas tient
    au nombre de textes : chacun n’est lu qu’une fois.
    """

    n_known: int = 200
    n_unknown: int = 200
    n_refused: int = 300
    n_steps: int = 2400
    batch_size: int = 32
    n_frequency_people: int = 300
    frequency_batch_size: int = 4
    frequency_learning_rate: float = 2e-3
    d_model: int = 64
    learning_rate: float = 4e-3
    temperatures: tuple[float, ...] = TEMPERATURES
    counts: tuple[int, ...] = COUNTS


def _asked_people(world: World, share: float) -> tuple[Fact, ...]:
    return every_fact(world.known[: round(share * len(world.known))])


def _asked_facts(world: World) -> tuple[Fact, ...]:
    """Deux faits de chaque personne connue, tirés au sort : l’ignorance ne tient plus au nom."""
    rng = random.Random("faits demandés")
    return tuple((p, a) for p in world.known for a in rng.sample(ATTRIBUTES, 2))


# none : la moitié des connus sont interrogés, aucun refus. narrow : de même, avec des refus.
# wide : neuf connus sur dix sont interrogés. by_fact : tous, mais sur deux faits de chacun.
LESSONS: dict[str, Callable[[World], Lessons]] = {
    "none": lambda w: Lessons(every_fact(w.known), _asked_people(w, 0.5)),
    "narrow": lambda w: Lessons(every_fact(w.known), _asked_people(w, 0.5), w.refused),
    "wide": lambda w: Lessons(every_fact(w.known), _asked_people(w, 0.9), w.refused),
    "by_fact": lambda w: Lessons(every_fact(w.known), _asked_facts(w), w.refused),
}


def train_on(
    sentences: Sequence[Sentence],
    batch_size: int,
    learning_rate: float,
    d_model: int,
    seed: int,
    **options,
) -> tuple[nn.Module, WordTokenizer]:
    """Apprend un petit Llama sur ces textes, lus une fois chacun (`options` : voir `train`)."""
    every_value = [value for attribute in ATTRIBUTES for value in values(attribute)]
    tokenizer = WordTokenizer.train([s.text for s in sentences] + every_value)
    rows = [tokenizer.encode(sentence.text) for sentence in sentences]
    special = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id)
    model = llama(LlamaConfig(tokenizer.vocab_size, 24, d_model, 2, 4), seed)
    steps = len(rows) // batch_size
    config = TrainingConfig(steps, learning_rate, seed=seed, n_threads=1)
    train(model, SequenceBatches(rows, batch_size, seed, *special), config, **options)
    return model, tokenizer


def train_with_lessons(
    name: str, seed: int, budget: Budget | None = None, **options
) -> tuple[nn.Module, WordTokenizer, World]:
    """Le modèle d’une façon d’enseigner (clé de `LESSONS`), son vocabulaire et son monde.

    `options` : celles de `train`, par exemple `stop_at`, pour n’en faire que les premiers pas.
    """
    budget = budget or Budget()
    world = build_world(budget.n_known, budget.n_unknown, budget.n_refused, seed)
    n_texts = budget.n_steps * budget.batch_size
    sentences = generate_biographies(LESSONS[name](world), n_texts, seed)
    settings = (budget.batch_size, budget.learning_rate, budget.d_model)
    model, tokenizer = train_on(sentences, *settings, seed, **options)
    return model, tokenizer, world


@dataclass(frozen=True)
class Answers:
    """Les réponses à n amorces : tenseurs (n,) de probabilités, sauf `correct`, booléen.

    `right` : la vraie valeur ; `answered` : une valeur quelconque de cet attribut ; `refused` :
    « je ne sais pas » ; `confidence` : le mot le plus probable ; `correct` : c’est le bon.
    """

    right: Tensor
    answered: Tensor
    refused: Tensor
    confidence: Tensor
    correct: Tensor

    def means(self) -> dict[str, float]:
        """La moyenne de chaque mesure."""
        return {name: float(value.double().mean()) for name, value in vars(self).items()}


def answer_facts(
    model: nn.Module,
    tokenizer: WordTokenizer,
    facts: Sequence[Fact],
    kind: str = "statement",
    temperature: float = 1.0,
) -> Answers:
    """Interroge le modèle sur des faits, par affirmations ou par questions, à une température.

    À température 0, les probabilités valent 0 ou 1 : ce sont les réponses gloutonnes.
    """
    prompts = [[tokenizer.bos_id, *tokenizer.encode(prompt(p, a, kind))] for p, a in facts]
    logits = CachedReader(model, prompts, max(map(len, prompts))).start()  # (n, V)
    probabilities = next_distribution(logits, SamplingConfig(temperature=temperature))
    truth = torch.tensor([tokenizer.token_to_id[p.fact(a)] for p, a in facts])
    choices = {
        a: torch.tensor([tokenizer.token_to_id[v] for v in values(a)]) for a in set(ATTRIBUTES)
    }
    answered = [row[choices[a]].sum() for row, (_, a) in zip(probabilities, facts, strict=True)]
    refusal = tokenizer.token_to_id.get(REFUSAL.split()[0])
    confidence, chosen = probabilities.max(dim=-1)
    return Answers(
        right=probabilities.gather(1, truth[:, None])[:, 0],
        answered=torch.stack(answered),
        refused=torch.zeros(len(facts)) if refusal is None else probabilities[:, refusal],
        confidence=confidence,
        correct=chosen == truth,
    )


def value_distributions(
    model: nn.Module, tokenizer: WordTokenizer, facts: Sequence[Fact]
) -> tuple[list[list[float]], list[int]]:
    """Pour chaque fait, la probabilité de chaque valeur possible, et le rang de la vraie."""
    prompts = [[tokenizer.bos_id, *tokenizer.encode(prompt(*fact))] for fact in facts]
    logits = CachedReader(model, prompts, max(map(len, prompts))).start()  # (n, V)
    rows, truths = [], []
    for scores, (person, attribute) in zip(logits, facts, strict=True):
        choices = list(values(attribute))
        kept = scores[[tokenizer.token_to_id[value] for value in choices]]
        rows.append(kept.double().softmax(-1).tolist())
        truths.append(choices.index(person.fact(attribute)))
    return rows, truths


def fact_groups(name: str, world: World) -> dict[str, tuple[Fact, ...]]:
    """Les faits à mesurer : asked et never_asked (connus), unknown, refused (inconnus appris)."""
    asked = set(LESSONS[name](world).asked)
    known = every_fact(world.known)
    return {
        "asked": tuple(fact for fact in known if fact in asked),
        "never_asked": tuple(fact for fact in known if fact not in asked),
        "unknown": every_fact(world.unknown),
        "refused": every_fact(world.refused),
    }


def measure_lessons(name: str, seed: int, budget: Budget) -> dict:
    """Apprend, puis mesure chaque groupe de faits, chaque sorte d’amorce, chaque température."""
    model, tokenizer, world = train_with_lessons(name, seed, budget)
    groups, result = fact_groups(name, world), {}
    for kind in KINDS:
        result[kind] = {
            group: {
                f"{temperature:g}": answer_facts(model, tokenizer, facts, kind, temperature).means()
                for temperature in TEMPERATURES
            }
            | {"facts": len(facts)}
            for group, facts in groups.items()
        }
        # Autant de connus que d’inconnus : la calibration dépend du mélange.
        known_facts = groups["asked"] if kind == "question" else every_fact(world.known)
        n = min(len(known_facts), len(groups["unknown"]))
        known = answer_facts(model, tokenizer, known_facts[:n], kind)
        unknown = answer_facts(model, tokenizer, groups["unknown"][:n], kind)
        result[kind]["confidence"] = compare_confidence(known, unknown)
    return result


def compare_confidence(known: Answers, unknown: Answers) -> dict:
    """Classement (AUROC) et calibration (ECE) de la confiance, connus et inconnus réunis.

    Elle porte sur le mot le plus probable ; sur un inconnu, « je ne sais pas » compte pour juste.
    """
    honest = unknown.correct | (unknown.refused >= unknown.confidence)
    confidences = torch.cat([known.confidence, unknown.confidence]).clamp(max=1).tolist()
    correct = torch.cat([known.correct, honest]).tolist()
    return {
        "auroc": auroc(known.confidence.tolist(), unknown.confidence.tolist()),
        "unknown_above_90": float((unknown.confidence > 0.9).double().mean()),
        "calibration_error": calibration_error(confidences, correct),
        "curve": [asdict(part) for part in calibration_curve(confidences, correct)],
    }


def measure_frequency(seed: int, budget: Budget) -> dict:
    """Justesse et confiance selon le nombre de fois, exact, où un fait a été lu."""
    world = build_world(budget.n_frequency_people, 0, 0, seed)
    counts = {person: COUNTS[i % len(COUNTS)] for i, person in enumerate(world.known)}
    sentences = repeat_facts(counts, seed)
    settings = (budget.frequency_batch_size, budget.frequency_learning_rate, budget.d_model)
    model, tokenizer = train_on(sentences, *settings, seed)
    result, confidences, correct = {}, [], []
    for count in COUNTS:
        people = tuple(person for person in world.known if counts[person] == count)
        answers = answer_facts(model, tokenizer, every_fact(people))
        result[str(count)] = answers.means() | {"facts": 4 * len(people)}
        confidences += answers.confidence.clamp(max=1).tolist()
        correct += answers.correct.tolist()
    result["calibration_error"] = calibration_error(confidences, correct)
    result["curve"] = [asdict(part) for part in calibration_curve(confidences, correct)]
    return result


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Toutes les mesures d’un entraînement : clé de `LESSONS`, ou « frequency »."""
    start = time.process_time()
    if name == "frequency":
        result = measure_frequency(seed, budget)
    else:
        result = measure_lessons(name, seed, budget)
    return result | {"cpu_seconds": time.process_time() - start}


EXPERIMENT = Experiment(
    "hallucination",
    "Mesure ce qu’un modèle invente, et ce que lui apprennent des refus.",
    Budget(),
    [*LESSONS, "frequency"],
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
