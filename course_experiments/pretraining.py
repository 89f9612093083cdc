"""Le pré-entraînement vu de près : ce que le petit LLM sait écrire à chaque étape.

    python -m course_experiments.pretraining --seeds 0 1 2

Le modèle du petit LLM repart de poids tirés au sort. À des étapes de plus en plus espacées, on
mesure sur la validation sa distance à la loi des histoires et ses compétences, et on le laisse
écrire : quelques textes sont gardés, les autres sont jugés par la grammaire. Les mesures vont dans
`results/pretraining.json` ; une commande interrompue reprend à la graine où elle en était.
"""

import time
from dataclasses import dataclass

from course_experiments.base_model import train_tokenizer
from course_experiments.experiment import Experiment
from course_lib.corpora.microworld.judge import judge_story
from course_lib.evaluation.story_task import StoryTask, build_task, score_network
from course_lib.generation import TextGenerator
from course_lib.models.shipped import SHAPE
from course_lib.tokenization import Tokenizer
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder, LlamaConfig, llama


@dataclass(frozen=True)
class Plan:
    """L’entraînement, celui du petit LLM, et ce qu’on y relève.

    `every` : pas entre deux mesures ; `milestones` : pas où l’on laisse écrire `n_texts` textes
    après `prompt`, dont `n_kept` sont gardés.
    """

    n_stories: int = 48_000
    batch_size: int = 8
    learning_rate: float = 2e-3
    every: int = 50
    milestones: tuple[int, ...] = (50, 100, 200, 400, 600, 800, 1000, 1500, 2500, 4000, 6000)
    n_validation: int = 100
    prompt: str = "Il était une fois"
    n_texts: int = 50
    n_kept: int = 2
    max_new_tokens: int = 160

    @property
    def n_steps(self) -> int:
        """Nombre de pas : chaque histoire est lue une fois."""
        return self.n_stories // self.batch_size


def write_texts(model: Decoder, tokenizer: Tokenizer, plan: Plan) -> dict:
    """Laisse écrire le modèle à la température 1 ; part des histoires cohérentes et échantillon."""
    writer = TextGenerator(model, tokenizer)
    stop = [tokenizer.eos_id]
    ids = writer.generate([plan.prompt] * plan.n_texts, plan.max_new_tokens, seed=0, stop_ids=stop)
    start = writer.encode(plan.prompt)
    texts = [tokenizer.decode(start + result.ids, skip_special_tokens=True) for result in ids]
    verdicts = [judge_story(text) for text in texts]
    return {
        "well_formed": sum(verdict.well_formed for verdict in verdicts) / len(verdicts),
        "coherent": sum(verdict.coherent for verdict in verdicts) / len(verdicts),
        "texts": texts[: plan.n_kept],
    }


def run(
    plan: Plan, seed: int, tokenizer: Tokenizer, task: StoryTask, shape: LlamaConfig = SHAPE
) -> dict:
    """Entraîne de zéro ; rend la courbe (une mesure par étape) et les textes, par étape."""
    model = llama(shape, seed)

    def evaluate(trained: Decoder) -> dict[str, float]:
        score = score_network(trained, task)
        return {"kl": score.kl, "perplexity": score.perplexity, **score.skills}

    writings = {"0": write_texts(model, tokenizer, plan)}

    def on_evaluation(record) -> None:
        if record.step in plan.milestones or record.step == plan.n_steps:
            writings[str(record.step)] = write_texts(model, tokenizer, plan)

    config = TrainingConfig(
        plan.n_steps, plan.learning_rate, eval_every=plan.every, seed=seed, n_threads=1
    )
    curve = [{"step": 0, "tokens": 0, **evaluate(model)}]
    start = time.process_time()
    history = train(
        model,
        task.batches(plan.batch_size, seed),
        config,
        evaluate=evaluate,
        on_evaluation=on_evaluation,
    )
    for record in history.records:
        if record.metrics:
            curve.append({"step": record.step, "tokens": record.tokens, **record.metrics})
    seconds = round(time.process_time() - start)
    return {"cpu_seconds": seconds, "curve": curve, "writings": writings}


def measure(name: str, seed: int, plan: Plan) -> dict:
    """Tout un pré-entraînement."""
    tokenizer = train_tokenizer()
    task = build_task(plan.n_stories, plan.n_validation, seed, "validation", tokenizer)
    return run(plan, seed, tokenizer, task)


EXPERIMENT = Experiment(
    "pretraining",
    "Entraîne le petit LLM de zéro et relève ce qu’il sait à chaque étape.",
    Plan(),
    ["petit LLM"],
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
