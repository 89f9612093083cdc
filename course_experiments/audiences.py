"""La même fiche, trois publics : un petit modèle apprend à écrire pour chacun.

    python -m course_experiments.audiences --seeds 0 1 2

Le modèle lit une fiche de faits et une étiquette (`corpora.microworld.audiences`) ; la perte ne
porte que sur le texte qui suit. Un texte sur quatre a l’étiquette neutre « [récit] » : sans public
désigné, le modèle écrit pour un public au hasard. On mesure la lisibilité des textes écrits, leur
correction, les faits gardés, et ce que change l’étiquette quand la fiche ne change pas. Repères :
un 5-gramme, et la réponse la plus fréquente. Les mesures vont dans `results/audiences.json`, une
graine après l’autre : une commande interrompue reprend à la graine qui manque.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from course_experiments.audience_measures import examine, most_frequent, style, swap_effect
from course_experiments.experiment import Experiment
from course_experiments.in_context import EMBEDDING_STD, scale_embeddings
from course_lib.corpora.microworld.audiences import (
    AUDIENCES,
    NEUTRAL_TAG,
    AudienceText,
    Facts,
    generate_audience_texts,
    sheet,
    tag,
)
from course_lib.corpora.microworld.kernel import Draw
from course_lib.evaluation.readability import vocabulary
from course_lib.generation import SamplingConfig, TextGenerator, continuation_log_probs
from course_lib.ngram import KneserNeyModel
from course_lib.tokenization import BPETokenizer, Tokenizer
from course_lib.training import IGNORE, AlignedBatches, TrainingConfig, train
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

N_TOKENIZER_TEXTS, N_CURVE, NEUTRAL_SHARE = 700, 30, 0.25
MAX_NEW_TOKENS, NGRAM_ORDER, N_POINTS = 120, 5, 8
VOCAB_SIZE = 1536


@dataclass(frozen=True)
class Budget:
    """Textes lus, taille des lots, taux d’apprentissage, modèle, et fiches de la mesure."""

    texts: int = 32_000
    batch_size: int = 8
    learning_rate: float = 6e-3
    vocab_size: int = VOCAB_SIZE
    context_length: int = 256
    d_model: int = 96
    n_layers: int = 2
    n_heads: int = 4
    test_sheets: int = 100

    @property
    def shape(self) -> LlamaConfig:
        """La forme du modèle."""
        sizes = (self.vocab_size, self.context_length, self.d_model, self.n_layers, self.n_heads)
        return LlamaConfig(*sizes, rope_theta=100.0, tie_weights=False)


@dataclass(frozen=True)
class AudienceTask:
    """Les textes d’apprentissage en jetons ; `targets` vaut −100 sur la fiche et l’étiquette."""

    tokenizer: Tokenizer
    inputs: list[list[int]]
    targets: list[list[int]]
    facts: list[Facts]
    child_words: frozenset[str]

    def batches(self, batch_size: int, seed: int) -> AlignedBatches:
        return AlignedBatches(self.inputs, self.targets, batch_size, seed, self.tokenizer.pad_id)


def train_tokenizer(n_texts: int = N_TOKENIZER_TEXTS) -> BPETokenizer:
    """Apprend le découpage sur des fiches et leurs trois récits."""
    texts = [t for name in AUDIENCES for t in generate_audience_texts(n_texts, name)]
    return BPETokenizer.train((f"{t.prompt} {t.text}" for t in texts), VOCAB_SIZE)


def build_task(n_texts: int, seed: int, tokenizer: Tokenizer) -> AudienceTask:
    """Tire les textes d’apprentissage : chaque histoire est racontée à un seul public."""
    told = {name: generate_audience_texts(n_texts, name, "train", seed) for name in AUDIENCES}
    draw, inputs, targets = Draw(f"étiquettes/{seed}"), [], []
    for rank in range(n_texts):
        text = told[draw.choice(AUDIENCES)][rank]
        label = NEUTRAL_TAG if draw.chance(NEUTRAL_SHARE) else tag(text.audience)
        prompt = tokenizer.encode(f"{sheet(text.facts)} {label}")
        row = [*prompt, *tokenizer.encode(f" {text.text}"), tokenizer.eos_id]
        inputs.append([tokenizer.bos_id, *row[:-1]])
        targets.append([IGNORE] * len(prompt) + row[len(prompt) :])
    facts = [text.facts for text in told["enfant"]]
    child_words = vocabulary(text.text for text in told["enfant"])
    return AudienceTask(tokenizer, inputs, targets, facts, child_words)


def divergence(model: Decoder, tokenizer: Tokenizer, texts: Sequence[AudienceText]) -> float:
    """Écart moyen à la loi des tournures, les faits étant donnés : KL estimée, nats par texte."""
    total = 0.0
    for text in texts:
        prompt = [tokenizer.bos_id, *tokenizer.encode(text.prompt)]
        rest = [*tokenizer.encode(f" {text.text}"), tokenizer.eos_id]
        total += text.log_prob - float(continuation_log_probs(model, prompt, rest).double().sum())
    return total / len(texts)


def train_model(
    task: AudienceTask,
    seed: int,
    budget: Budget | None = None,
    *,
    n_points: int = N_POINTS,
    progress: bool = True,
) -> tuple[Decoder, dict]:
    """Entraîne un modèle de zéro, en une lecture des textes : (modèle, mesures en chemin)."""
    budget = budget or Budget()
    model = scale_embeddings(llama(budget.shape, seed), EMBEDDING_STD)
    n_steps = len(task.inputs) // budget.batch_size
    probes = [t for a in AUDIENCES for t in generate_audience_texts(N_CURVE, a, "validation")]
    measured = []

    def evaluate(model):
        start = time.process_time()
        score = {"kl": divergence(model, task.tokenizer, probes)}
        measured.append(time.process_time() - start)
        return score

    config = TrainingConfig(
        n_steps,
        budget.learning_rate,
        eval_every=max(1, n_steps // n_points),
        seed=seed,
        n_threads=1,
    )
    data = task.batches(budget.batch_size, seed)
    start = time.process_time()
    history = train(model, data, config, evaluate=evaluate, progress=progress)
    seconds = time.process_time() - start - sum(measured)
    points = [record for record in history.records if record.metrics]
    curve = {
        "texts": [record.step * budget.batch_size for record in points],
        "loss": [round(record.loss, 4) for record in points],
        "kl": [round(record.metrics["kl"], 4) for record in points],
    }
    size = count_parameters(model)
    return model, {"parameters": size, "cpu_seconds": round(seconds, 1), "curve": curve}


def write_texts(
    model: Decoder,
    tokenizer: Tokenizer,
    facts: Sequence[Facts],
    label: str,
    seed: int = 0,
    temperature: float = 1.0,
) -> list[str]:
    """Le texte que le modèle écrit pour chaque fiche, sous une étiquette.

    À la température 1, il suit sa propre loi ; à 0, il écrit toujours le jeton le plus probable.
    """
    writer = TextGenerator(model, tokenizer)
    prompts = [f"{sheet(each)} {label}" for each in facts]
    sampling = SamplingConfig(temperature=temperature)
    results = writer.generate(prompts, MAX_NEW_TOKENS, sampling=sampling, seed=seed)
    return [tokenizer.decode(r.ids, skip_special_tokens=True).strip() for r in results]


def write_with_ngram(
    model: KneserNeyModel, tokenizer: Tokenizer, facts: Sequence[Facts], label: str
) -> list[str]:
    """Le texte le plus probable, jeton après jeton, d’un n-gramme."""
    texts = []
    for each in facts:
        ids = tokenizer.encode(f"{sheet(each)} {label}")
        start = len(ids)
        while len(ids) - start < MAX_NEW_TOKENS:
            ids.append(int(np.argmax(model.next_distribution(ids))))
            if ids[-1] == tokenizer.eos_id:
                break
        texts.append(tokenizer.decode(ids[start:], skip_special_tokens=True).strip())
    return texts


@cache
def tokenizer() -> BPETokenizer:
    """Le découpage commun à toutes les graines."""
    return train_tokenizer()


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Entraîne et éprouve une graine."""
    words, n_test = tokenizer(), budget.test_sheets
    task = build_task(budget.texts, seed, words)
    model, measures = train_model(task, seed, budget)
    references = {name: generate_audience_texts(n_test, name, "test") for name in AUDIENCES}
    facts = [text.facts for text in references["enfant"]]
    texts = {
        name: write_texts(model, words, facts, tag(name), seed=rank)
        for rank, name in enumerate(AUDIENCES)
    }
    greedy = {a: write_texts(model, words, facts, tag(a), temperature=0.0) for a in AUDIENCES}
    ngram = KneserNeyModel(NGRAM_ORDER, words.vocab_size, words.bos_id)
    ngram.fit([[*row[1:], words.eos_id] for row in task.inputs])
    few, child = facts[: max(1, n_test // 4)], task.child_words
    neutral = write_texts(model, words, facts, NEUTRAL_TAG, seed=len(AUDIENCES))
    return measures | {
        "kl": {a: divergence(model, words, references[a]) for a in AUDIENCES},
        "grammar": {a: style([t.text for t in references[a]], child) for a in AUDIENCES},
        "model": {a: examine(texts[a], facts, child, a) for a in AUDIENCES},
        "greedy": {a: examine(greedy[a], facts, child, a) for a in AUDIENCES},
        "greedy_swap": swap_effect(greedy),
        "neutral": examine(neutral, facts, child),
        "swap": swap_effect(texts),
        "ngram": {
            a: examine(write_with_ngram(ngram, words, few, tag(a)), few, child, a)
            for a in AUDIENCES
        },
        "most_frequent": most_frequent(task.facts, facts),
        "examples": {a: texts[a][:2] for a in AUDIENCES} | {"récit": neutral[:2]},
    }


EXPERIMENT = Experiment(
    "audiences",
    "Entraîne un modèle à écrire pour trois publics et mesure ce qu’il en fait.",
    Budget(),
    ["petit modèle"],
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
