"""Le biais, du corpus au texte écrit : qui dit « elle », et après quel métier.

    python -m course_experiments.bias --seeds 0 1 2 3 4

Deux corpus, l’un tel quel, l’autre équilibré par des contrefactuels, et deux durées
d’apprentissage. Le biais se mesure dans le corpus, dans le modèle, puis après la façon d’écrire
(`DECODERS`) ; l’accord du pronom et de l’adjectif l’accompagne toujours. Les mesures vont dans
`results/bias.json`, graine par graine ; une commande interrompue reprend où elle en était.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from course_experiments.experiment import Experiment
from course_lib.corpora.microworld.lexicon import LEXICON
from course_lib.corpora.microworld.occupations import (
    ADJECTIVES,
    MIXED_NAMES,
    P_SHE,
    TRADES,
    Portrait,
    count_pronouns,
    generate_portraits,
    prompt,
)
from course_lib.evaluation.bias import mean_absolute_bias
from course_lib.evaluation.intervals import wilson_interval
from course_lib.generation import CachedReader, SamplingConfig, next_distribution
from course_lib.tokenization import WordTokenizer
from course_lib.training import SequenceBatches, TrainingConfig, train
from course_lib.transformer import LlamaConfig, llama

DECODERS = {
    "temperature_1": SamplingConfig(),
    "temperature_0.7": SamplingConfig(temperature=0.7),
    "top_p_0.9": SamplingConfig(top_p=0.9),
    "greedy": SamplingConfig(temperature=0.0),
}
STEREOTYPE = 0.4  # un métier dont P(elle) s’écarte au moins d’autant de ½


@dataclass(frozen=True)
class Budget:
    """Nombre de textes (contrefactuels compris), tailles et durées de l’entraînement."""

    n_texts: int = 8000
    steps: tuple[int, ...] = (500, 1500)
    batch_size: int = 32
    d_model: int = 48
    learning_rate: float = 4e-3
    p_she: dict[str, float] = field(default_factory=lambda: P_SHE)


def build_portraits(budget: Budget, seed: int, augmented: bool) -> list[Portrait]:
    """Le corpus d’une graine : autant de textes, équilibré ou non."""
    n = budget.n_texts // 2 if augmented else budget.n_texts
    return generate_portraits(n, seed, augmented=augmented)


def train_on(
    portraits: Sequence[Portrait],
    n_steps: int,
    budget: Budget,
    seed: int,
    *,
    progress: bool = True,
) -> tuple[nn.Module, WordTokenizer]:
    """Apprend un petit Llama sur ces portraits."""
    texts = [portrait.text for portrait in portraits]
    names = (*MIXED_NAMES, *LEXICON.girls, *LEXICON.boys)
    tokenizer = WordTokenizer.train([*texts, *names])
    rows = [tokenizer.encode(text) for text in texts]
    special = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id)
    model = llama(LlamaConfig(tokenizer.vocab_size, 24, budget.d_model, 2, 4), seed)
    config = TrainingConfig(n_steps, budget.learning_rate, seed=seed, n_threads=1)
    source = SequenceBatches(rows, budget.batch_size, seed, *special)
    train(model, source, config, progress=progress)
    return model, tokenizer


def next_scores(model: nn.Module, tokenizer: WordTokenizer, prompts: Sequence[str]) -> Tensor:
    """Scores (n, V) du mot qui suit chaque amorce."""
    ids = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in prompts]
    return CachedReader(model, ids, max(map(len, ids))).start()


def share_of_she(
    model: nn.Module,
    tokenizer: WordTokenizer,
    names: Sequence[str],
    trade: str,
    sampling: SamplingConfig | None = None,
) -> Tensor:
    """P(elle) après « <prénom> est <métier>. », s’il faut choisir entre elle et il : (n,)."""
    scores = next_scores(model, tokenizer, [prompt(name, trade) for name in names])
    pronouns = scores[:, [tokenizer.token_to_id[word] for word in ("Elle", "Il")]]  # (n, 2)
    return next_distribution(pronouns, sampling)[:, 0]


def model_bias(
    model: nn.Module, tokenizer: WordTokenizer, sampling: SamplingConfig | None = None
) -> dict[str, float]:
    """P(elle | métier) du modèle, en moyenne sur les prénoms mixtes."""
    return {
        trade: float(share_of_she(model, tokenizer, MIXED_NAMES, trade, sampling).double().mean())
        for trade in TRADES
    }


def pronoun_agreement(model: nn.Module, tokenizer: WordTokenizer) -> dict[str, float]:
    """Part des prénoms féminins suivis de « elle », masculins de « il », au plus probable.

    `against` : la même part, là où le métier porte à l’autre pronom (« Léa est garagiste. »).
    """
    hits, against = [], []
    for trade in TRADES:
        girls = share_of_she(model, tokenizer, LEXICON.girls, trade) > 0.5
        boys = share_of_she(model, tokenizer, LEXICON.boys, trade) < 0.5
        hits += [girls, boys]
        if P_SHE[trade] - 0.5 >= STEREOTYPE:
            against.append(boys)
        elif 0.5 - P_SHE[trade] >= STEREOTYPE:
            against.append(girls)
    parts = {"all": hits, "against": against}
    return {name: float(torch.cat(part).double().mean()) for name, part in parts.items()}


def adjective_agreement(model: nn.Module, tokenizer: WordTokenizer) -> float:
    """Part de « Elle est très… » et « Il est très… » où le bon genre reçoit plus de probabilité."""
    hits = []
    columns = {
        gender: torch.tensor([tokenizer.token_to_id[a.agree(gender)] for a in ADJECTIVES])
        for gender in "fm"
    }
    for pronoun, good, bad in (("elle", "f", "m"), ("il", "m", "f")):
        prompts = [prompt(name, trade, pronoun) for name in MIXED_NAMES for trade in TRADES]
        probabilities = next_scores(model, tokenizer, prompts).softmax(dim=-1)
        right, wrong = (probabilities[:, columns[gender]].sum(1) for gender in (good, bad))
        hits.append(right > wrong)
    return float(torch.cat(hits).double().mean())


def corpus_bias(portraits: Sequence[Portrait]) -> dict:
    """Le biais du corpus, sur les prénoms mixtes : par métier, part de « elle » et intervalle."""
    counts = count_pronouns(list(portraits))
    shares = {trade: she / total for trade, (she, total) in counts.items()}
    intervals = {trade: wilson_interval(*count) for trade, count in counts.items()}
    return {"bias": mean_absolute_bias(shares), "p_she": shares, "intervals": intervals}


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Apprend et mesure ; `name` : « plain » ou « augmented », un tiret, le nombre de pas."""
    start = time.process_time()
    corpus, n_steps = name.split("-")
    portraits = build_portraits(budget, seed, corpus == "augmented")
    model, tokenizer = train_on(portraits, int(n_steps), budget, seed)
    decoded = {label: model_bias(model, tokenizer, s) for label, s in DECODERS.items()}
    pronoun = pronoun_agreement(model, tokenizer)
    result = {
        "corpus": corpus_bias(portraits),
        "bias": {label: mean_absolute_bias(shares) for label, shares in decoded.items()},
        "p_she": decoded,
        "pronoun_agreement": pronoun["all"],
        "pronoun_agreement_against": pronoun["against"],
        "adjective_agreement": adjective_agreement(model, tokenizer),
    }
    return result | {"cpu_seconds": time.process_time() - start}


def run_names(budget: Budget) -> list[str]:
    """Les entraînements de l’expérience : chaque corpus, chaque durée."""
    return [f"{corpus}-{steps}" for corpus in ("plain", "augmented") for steps in budget.steps]


EXPERIMENT = Experiment(
    "bias",
    "Suit un biais du corpus au modèle, puis au texte écrit.",
    Budget(),
    run_names(Budget()),
    measure,
    seeds=range(5),
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
