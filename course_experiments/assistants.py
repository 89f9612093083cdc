"""L’assistant et le petit assistant : la fin de la chaîne, du texte à la distillation.

    python -m course_experiments.assistants --seeds 0 1 2

L’assistant est le petit LLM affiné en entier à répondre aux questions, avec une reprise
d’histoires pour ne pas oublier de raconter. Ses élèves sont quatre fois plus petits, et lisent
trois lots d’histoires pour un lot de questions :

    petit assistant       apprend les probabilités de l’assistant, et où il regarde
    probabilités seules   apprend ses probabilités
    sans enseignant       apprend des mêmes textes, sans lui

Les mesures vont dans `results/assistants.json` ; l’assistant et le petit assistant de la
graine 0, en demi-précision, dans `course_lib/models/assistant/` et `petit_assistant/`. Une commande
interrompue reprend au modèle suivant.
"""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from course_experiments import question_answering
from course_experiments.classroom import (
    ALONE,
    GUIDED,
    TAUGHT,
    loss_for,
    rate_for,
    report,
    student_shape,
    teach,
)
from course_experiments.experiment import Experiment
from course_experiments.question_answering import as_examples
from course_lib.corpora.microworld.questions import generate_questions
from course_lib.evaluation.answers import exact_answers
from course_lib.evaluation.story_task import StoryTask, build_task
from course_lib.finetuning import AnswerExamples, ReplayMix
from course_lib.models import MODELS, load_petit_llm
from course_lib.pretrained import save_folder
from course_lib.tokenization import Tokenizer
from course_lib.training.losses import language_model_loss
from course_lib.transformer import Decoder, llama

WIDTH = 48
ASSISTANT, SMALL = "assistant", "petit assistant"
STUDENTS = {SMALL: GUIDED, "probabilités seules": TAUGHT, "sans enseignant": ALONE}
FOLDERS = {ASSISTANT: "assistant", SMALL: "petit_assistant"}


@dataclass(frozen=True)
class Plan:
    """Exemples et pas de l’affinage, histoires et pas de la distillation, mesures."""

    n_questions: int = 3_000
    tuning_steps: int = 600
    n_stories: int = 16_000
    distillation_steps: int = 3_000
    batch_size: int = 8
    every: int = 4
    n_held_out: int = 300
    n_asked: int = 300
    first_seed: int = 200


def lessons(plan: Plan, seed: int, tokenizer: Tokenizer) -> tuple[StoryTask, AnswerExamples]:
    """Les histoires et les questions d’une graine."""
    stories = build_task(plan.n_stories, 1, plan.first_seed + seed, "validation", tokenizer)
    questions = generate_questions(plan.n_questions, "train", seed + 1)
    return stories, AnswerExamples(as_examples(questions, tokenizer), plan.batch_size, seed)


@lru_cache(maxsize=1)  # il enseigne à tous les élèves de sa graine
def tune_assistant(plan: Plan, seed: int) -> tuple[Decoder, float]:
    """Affine le petit LLM, avec reprise ; rend le modèle et le temps de calcul."""
    model, tokenizer = load_petit_llm()
    model.requires_grad_(True)
    stories, questions = lessons(plan, seed, tokenizer)
    data = ReplayMix(questions, stories.batches(plan.batch_size, seed), plan.every)
    rate = question_answering.rate_for("tout, avec reprise")
    return model, teach(model, data, plan.tuning_steps, rate, seed, language_model_loss)


def train_student(plan: Plan, seed: int, teacher: Decoder, mode: str) -> tuple[Decoder, float]:
    """Entraîne un élève de l’assistant, selon la leçon ; rend l’élève et le temps de calcul."""
    student = llama(student_shape(WIDTH), seed)
    stories, questions = lessons(plan, seed, load_petit_llm()[1])
    data = ReplayMix(stories.batches(plan.batch_size, seed), questions, plan.every)
    loss = loss_for(mode, teacher)
    return student, teach(student, data, plan.distillation_steps, rate_for(WIDTH), seed, loss)


def measure_assistant(model: Decoder, plan: Plan, tokenizer: Tokenizer) -> dict:
    """Ce que vaut un assistant : ses histoires, et la part de ses réponses exactes."""
    held_out = build_task(1, plan.n_held_out, 0, "test", tokenizer)
    asked = generate_questions(plan.n_asked, "test")
    found = exact_answers(model, AnswerExamples(as_examples(asked, tokenizer), 50))
    return report(model, held_out) | {"exact": sum(found) / len(found)}


def measure(name: str, seed: int, plan: Plan, folders: Mapping[str, Path]) -> dict:
    """L’assistant ou l’un de ses élèves ; ceux de la graine 0 qui ont un dossier y sont écrits."""
    tokenizer = load_petit_llm()[1]
    model, seconds = tune_assistant(plan, seed)
    if name != ASSISTANT:
        model, seconds = train_student(plan, seed, model, STUDENTS[name])
    if seed == 0 and name in folders:
        save_folder(model, tokenizer, folders[name], dtype="float16")
    return measure_assistant(model, plan, tokenizer) | {"cpu_seconds": seconds}


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """Les modèles vont à côté du relevé ; ceux du relevé livré, avec les modèles du cours."""
    folder = MODELS if options.output == experiment.path else options.output.parent
    folders = {name: folder / place for name, place in FOLDERS.items()}
    return replace(experiment, products=folders, measure=partial(measure, folders=folders))


EXPERIMENT = Experiment(
    "assistants",
    "Affine le petit LLM en assistant, puis le distille.",
    Plan(),
    [ASSISTANT, *STUDENTS],
    partial(measure, folders={}),
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
