"""Sonder « it » : ce qu’un vecteur de l’encodeur contient, même si le décodeur ne le lit pas.

Une sonde est un classifieur linéaire, appris sur les vecteurs d’un modèle qui ne change plus. Ce
qu’elle retrouve sur des phrases neuves est écrit dans le vecteur ; elle ne dit pas que le modèle
s’en sert. Une même sonde sur un autre mot, ou sur le vecteur d’entrée, donne le point de
comparaison. La commande refait l’entraînement du traducteur, sonde, et range les mesures dans
`results/pronoun.probing.json`.

    python -m course_experiments.pronoun.probing
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from course_experiments.experiment import Experiment
from course_experiments.pronoun import causality, models
from course_experiments.pronoun.models import Recipe
from course_experiments.pronoun.task import DATA_SEED, TEST_SEED, Vocabulary, prepare, vocabulary
from course_lib.corpora import TranslationPair, generate_pairs, minimal_pairs
from course_lib.corpora.microworld.translation_lexicon import AGENTS, PLACES
from course_lib.interpretation import record_activations
from course_lib.transformer import EncoderDecoder

QUESTIONS = ("référent", "genre")  # l’animal ou le lieu ? « il » ou « elle » ?
WORDS = ("it", "adjectif", "premier mot")
GENDER = {noun.english: noun.french.gender for noun in (*AGENTS, *PLACES)}


@dataclass(frozen=True)
class Settings:
    """La recette du traducteur, les phrases de la sonde, et sa pénalité."""

    recipe: Recipe = field(default_factory=lambda: models.TRANSLATOR)
    training_sentences: int = 1500
    minimal_pairs: int = 200
    penalty: float = 1e-3


def opposed(pairs: Sequence[TranslationPair]) -> list[TranslationPair]:
    """Les phrases dont l’animal et le lieu sont de genres opposés : le genre y dit le référent."""
    return [
        pair
        for pair in pairs
        if GENDER[pair.clauses[0].agent_word] != GENDER[pair.clauses[0].place_word]
    ]


@torch.no_grad()
def word_states(
    model: EncoderDecoder, pairs: Sequence[TranslationPair], words: Vocabulary
) -> dict[str, Tensor]:
    """Le vecteur de chaque mot à la sortie de l’encodeur, (B, D), et celui de « it » à l’entrée."""
    sentences = prepare(pairs, words)
    with record_activations(model, ["encoder", "encoder.embedding"]) as seen:
        model(sentences.source, sentences.target[:, :1])
    every = torch.arange(len(pairs))
    places = {
        "it": sentences.pronoun,
        "adjectif": sentences.adjective,
        "premier mot": torch.zeros(len(pairs), dtype=torch.long),
    }
    states = {word: seen["encoder"][every, place] for word, place in places.items()}
    return states | {"it, à l’entrée": seen["encoder.embedding"][every, sentences.pronoun]}


def labels(pairs: Sequence[TranslationPair]) -> dict[str, Tensor]:
    """La réponse à chaque question, (B,), 0 ou 1."""
    clauses = [pair.clauses[0] for pair in pairs]
    return {
        "référent": torch.tensor([clause.referent == "place" for clause in clauses]).float(),
        "genre": torch.tensor([clause.gender == "f" for clause in clauses]).float(),
    }


def probe_accuracy(
    states: Tensor, answers: Tensor, new_states: Tensor, new_answers: Tensor, penalty: float = 1e-3
) -> float:
    """Apprend une sonde linéaire sur `states` (B, D), et rend sa part de justes sur les autres."""
    center, scale = states.mean(0), states.std(0) + 1e-6
    weights = torch.zeros(states.shape[1] + 1, requires_grad=True)

    def scores(vectors: Tensor) -> Tensor:
        return (vectors - center) / scale @ weights[:-1] + weights[-1]

    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(scores(states), answers)
        loss = loss + penalty * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return ((scores(new_states) > 0) == (new_answers > 0.5)).float().mean().item()


def probe_words(
    model: EncoderDecoder, words: Vocabulary, settings: Settings | None = None
) -> dict[str, dict[str, float]]:
    """Part de justes de chaque sonde, {question: {mot: part}}, sur des couples jamais vus.

    La sonde apprend sur des phrases d’entraînement du traducteur ; elle est jugée sur des paires
    minimales dont les couples nom–adjectif lui sont inédits, comme au traducteur.
    """
    settings = settings or Settings()
    known = opposed(generate_pairs(2 * settings.training_sentences, "train", 1, DATA_SEED + 100))
    fresh = minimal_pairs(settings.minimal_pairs, seed=TEST_SEED, split="held_out")
    new = [sentence for pair in fresh for sentence in pair]
    known = known[: settings.training_sentences]
    states, new_states = (word_states(model, pairs, words) for pairs in (known, new))
    answers, new_answers = labels(known), labels(new)
    return {
        question: {
            word: probe_accuracy(
                states[word],
                answers[question],
                new_states[word],
                new_answers[question],
                settings.penalty,
            )
            for word in states
        }
        for question in QUESTIONS
    }


def measure(name: str, seed: int, settings: Settings) -> Mapping[str, object]:
    """Entraîne le traducteur de cette graine, le sonde, et refait les interventions sur lui."""
    words = vocabulary()
    model, _ = models.train_translator(seed, settings.recipe)
    pairs = minimal_pairs(settings.minimal_pairs, seed=TEST_SEED)
    return {
        "probes": probe_words(model, words, settings),
        "answers": 2 * len(pairs),
        "errors": causality.translator_interventions(model, pairs, words),
    }


EXPERIMENT = Experiment(
    "pronoun.probing",
    "Sonde, mot par mot, l’encodeur du traducteur du chapitre « Le Transformer ».",
    Settings(),
    ["translator"],
    measure,
    seeds=range(5),
)


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
