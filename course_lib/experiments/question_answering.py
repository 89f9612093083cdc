"""Affiner le petit LLM : des questions sur les histoires, sept façons, de 30 à 1 000 exemples.

    python -m course_lib.experiments.question_answering --tuning            taux comparés (graine 0)
    python -m course_lib.experiments.question_answering --seeds 0 1 2

Chaque façon part du petit LLM livré (sauf « de zéro ») et fait le même nombre de pas. On mesure,
sur 300 questions jamais vues, la part de réponses exactes ; puis, sur des histoires ordinaires, ce
que le modèle a oublié. Les mesures vont dans `results/question_answering.json` ; une commande
interrompue reprend où elle en était.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from course_lib.corpora.questions import KINDS, Question, generate_questions
from course_lib.experiments.base_model import SHAPE, load_base_model
from course_lib.experiments.records import Records, load_records, rounded
from course_lib.experiments.story_task import StoryTask, build_task, score_network
from course_lib.finetuning import (
    AnswerExamples,
    LoRAConfig,
    ReplayMix,
    attach_bottleneck,
    attach_lora,
    attach_soft_prompt,
    count_trainable,
    detach_adapters,
    detach_bottlenecks,
    detach_soft_prompt,
    train_biases,
    train_only,
)
from course_lib.generation.readers import reading
from course_lib.tokenization import Tokenizer
from course_lib.training import TrainingConfig, train
from course_lib.training.arguments import FrenchArgumentParser, natural_int
from course_lib.training.data import IGNORE
from course_lib.transformer import Decoder, llama

RESULTS = Path(__file__).parent / "results" / "question_answering.json"
LORA = LoRAConfig(4, 8.0, targets=("query", "key", "value", "output", "gate", "up", "down"))
PROMPT_TOKENS, BOTTLENECK = 16, 16
# Le meilleur de trois taux, sur la validation, à 300 exemples ; un test relit les essais livrés.
RATES = {
    "tout": 1e-3,
    "tout, avec reprise": 1e-3,
    "LoRA": 4e-3,
    "goulots": 1e-2,
    "amorce apprise": 1e-1,
    "normes": 3e-2,
    "tête seule": 1e-3,
    "de zéro": 2e-3,
}
FACTORS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Budget:
    """Exemples, pas, lots, questions de mesure, histoires où l’on mesure l’oubli."""

    sizes: tuple[int, ...] = (30, 100, 300, 1000)
    n_steps: int = 300
    batch_size: int = 8
    n_test: int = 300
    n_stories: int = 100
    n_replay: int = 2_000
    replay_every: int = 4


def as_examples(
    questions: Sequence[Question], tokenizer: Tokenizer, prefix: Sequence[int] = ()
) -> list[tuple[list[int], list[int]]]:
    """Les ids de chaque consigne et de sa réponse, fin comprise ; `prefix` : l’amorce apprise."""
    return [
        (
            [*prefix, tokenizer.bos_id, *tokenizer.encode(question.prompt)],
            [*tokenizer.encode(f" {question.answer}"), tokenizer.eos_id],
        )
        for question in questions
    ]


def prepare(method: str, base: Decoder, seed: int) -> tuple[Decoder, list[int]]:
    """Rend le modèle prêt à s’entraîner de cette façon, et les ids de l’amorce apprise.

    ValueError si la façon est inconnue.
    """
    prefix: list[int] = []
    if method == "de zéro":
        return llama(SHAPE, seed), prefix
    if method.startswith("tout"):
        base.requires_grad_(True)
    elif method == "LoRA":
        attach_lora(base, LORA, seed=seed)
    elif method == "goulots":
        attach_bottleneck(base, BOTTLENECK, seed=seed)
    elif method == "amorce apprise":
        prefix = attach_soft_prompt(base, PROMPT_TOKENS, seed)
    elif method == "normes":
        train_biases(base)
    elif method == "tête seule":
        # La tête est liée aux embeddings : on la détache pour n’entraîner qu’elle.
        base.head.weight = torch.nn.Parameter(base.head.weight.detach().clone())
        train_only(base, ["head.weight"])
    else:
        raise ValueError(f"Façon inconnue : {method!r}. Choisissez parmi {', '.join(RATES)}.")
    return base, prefix


@torch.no_grad()
def exact_answers(model: Decoder, data: AnswerExamples) -> list[bool]:
    """Pour chaque exemple : le choix glouton écrit-il toute la réponse, jeton pour jeton ?"""
    found: list[bool] = []
    with reading(model):
        for inputs, targets in data.in_order():
            kept = targets != IGNORE
            best = model(inputs).argmax(dim=-1)  # (B, T)
            found += ((best == targets) | ~kept).all(dim=1).tolist()
    return found


def accuracy(found: Sequence[bool], questions: Sequence[Question]) -> dict[str, float]:
    """Part de réponses exactes, en tout et par sorte de question."""
    shares = {"exact": sum(found) / len(found)}
    for kind in KINDS:
        of_kind = [ok for ok, q in zip(found, questions, strict=True) if q.kind == kind]
        shares[kind] = sum(of_kind) / len(of_kind)
    return shares


def run(
    method: str,
    size: int,
    seed: int,
    budget: Budget,
    stories: StoryTask,
    split: str = "test",
    learning_rate: float | None = None,
) -> dict:
    """Affine d’une façon, avec `size` exemples ; rend toutes les mesures."""
    base, tokenizer = load_base_model()
    model, prefix = prepare(method, base, seed)
    questions = generate_questions(size, "train", seed + 1)
    data = AnswerExamples(as_examples(questions, tokenizer, prefix), budget.batch_size, seed)
    if method == "tout, avec reprise":
        replay = build_task(budget.n_replay, 1, seed + 7, "validation", tokenizer)
        data = ReplayMix(data, replay.batches(budget.batch_size, seed), budget.replay_every)
    rate = learning_rate or RATES[method]
    config = TrainingConfig(budget.n_steps, rate, weight_decay=0.0, seed=seed, n_threads=1)
    trained = count_trainable(model)
    start = time.process_time()
    train(model, data, config, progress=False)
    seconds = time.process_time() - start
    asked = generate_questions(budget.n_test, split)
    test = AnswerExamples(as_examples(asked, tokenizer, prefix), 50)
    result = accuracy(exact_answers(model, test), asked)
    result |= {"trained": trained, "cpu_seconds": seconds}
    result["kl"] = score_network(model, stories).kl
    if method in ("LoRA", "goulots", "amorce apprise"):
        {
            "LoRA": detach_adapters,
            "goulots": detach_bottlenecks,
            "amorce apprise": detach_soft_prompt,
        }[method](model)
        result["kl_detached"] = score_network(model, stories).kl
    return rounded(result)


def base_alone(budget: Budget) -> dict:
    """Le petit LLM sans affinage ; un exemple de plus dans l’amorce déborderait son contexte."""
    base, tokenizer = load_base_model()
    asked = generate_questions(budget.n_test, "test")
    found = exact_answers(base, AnswerExamples(as_examples(asked, tokenizer), 50))
    return rounded(accuracy(found, asked))


def load_results(path: Path = RESULTS) -> dict:
    """Relit les mesures livrées : `runs["LoRA 100"]["0"]`, `runs["base"]["0"]`…"""
    return load_records(path)


def tune(path: Path, budget: Budget) -> None:
    """Compare trois taux par façon, à 300 exemples, graine 0, sur la validation."""
    records = Records(path, asdict(budget))
    stories = build_task(1, budget.n_stories, 0, "validation", load_base_model()[1])
    names = [f"taux {m} {f:g}" for m in RATES for f in FACTORS]
    for name, seed in tqdm(records.missing(names, [0]), desc="Taux"):
        method, factor = name.removeprefix("taux ").rsplit(" ", 1)
        rate = RATES[method] * float(factor)
        found = run(method, 300, seed, budget, stories, "validation", rate)
        records.add(name, seed, found | {"learning_rate": rate})


def measure(seeds: Sequence[int], path: Path, budget: Budget | None = None) -> dict:
    """Fait ce qui manque au relevé et l’écrit à mesure."""
    budget = budget or Budget()
    records = Records(path, asdict(budget))
    if records.missing(["base"], [0]):
        records.add("base", 0, base_alone(budget))
    stories = build_task(1, budget.n_stories, 0, "validation", load_base_model()[1])
    names = [f"{method} {size}" for method in RATES for size in budget.sizes]
    for name, seed in tqdm(records.missing(names, seeds), desc="Modèles"):
        method, size = name.rsplit(" ", 1)
        records.add(name, seed, run(method, int(size), seed, budget, stories))
    return records.load()


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_lib.experiments.question_answering",
        description="Affine le petit LLM à répondre à des questions, de plusieurs façons.",
    )
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=[0, 1, 2], help="graines (0 1 2)"
    )
    parser.add_argument("--tuning", action="store_true", help="compare des taux (validation)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="fichier des mesures")
    options = parser.parse_args(arguments)
    if options.tuning:
        tune(options.output, Budget())
    else:
        measure(options.seeds, options.output)
    print(f"Mesures écrites dans {options.output.name}.")
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
