"""La classe où l’on distille : un enseignant, ses réponses, des élèves à entraîner et à mesurer.

Une classe vaut pour une graine. Les réponses de l’enseignant aux histoires de l’élève sont
calculées une fois, et servent à tous les élèves.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from course_experiments import question_answering
from course_experiments.question_answering import as_examples
from course_experiments.size_sweep import BEST_RATES
from course_lib.corpora.microworld.questions import generate_questions
from course_lib.distillation import (
    AttentionLoss,
    DistillationBatches,
    SoftTargetLoss,
    TeacherCache,
    even_layer_map,
    write_teacher_cache,
)
from course_lib.evaluation.answers import exact_answers
from course_lib.evaluation.story_task import StoryTask, build_task, score_network
from course_lib.finetuning import AnswerExamples
from course_lib.models.shipped import SHAPE, load_petit_llm
from course_lib.tokenization import Tokenizer
from course_lib.training import TrainingConfig, train
from course_lib.training.losses import Loss, language_model_loss
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

ALONE, TAUGHT, GUIDED = MODES = ("sans", "avec", "attention")


@dataclass(frozen=True)
class Budget:
    """Pas de chaque série, lots, et ce qui sert à mesurer.

    `top_k` : jetons gardés par réponse de l’enseignant ; `n_texts` : textes qu’il écrit ;
    `own_texts` : part des lots que l’élève écrit lui-même ; `first_seed` éloigne les histoires de
    l’élève de celles qu’a lues l’enseignant.
    """

    batch_size: int = 8
    data_width: int = 48
    data_steps: int = 1_000
    width_steps: int = 2_000
    n_held_out: int = 300
    n_questions: int = 1_000
    question_steps: int = 300
    top_k: int = 128
    n_asked: int = 300
    first_seed: int = 100
    n_texts: int = 1_000
    max_new_tokens: int = 160
    own_texts: float = 0.25


@dataclass(frozen=True)
class Classroom:
    """Une graine : l’enseignant, ses réponses aux histoires de l’élève, celles de la mesure.

    `specialist` : le même enseignant, affiné en entier à répondre aux questions.
    """

    seed: int
    budget: Budget
    teacher: Decoder
    specialist: Decoder
    tokenizer: Tokenizer
    stories: StoryTask
    held_out: StoryTask
    answers: TeacherCache


def open_classroom(seed: int, budget: Budget, folder: Path) -> Classroom:
    """Prépare une graine ; les réponses de l’enseignant sont gardées dans `folder`."""
    teacher, tokenizer = load_petit_llm()
    n_stories = budget.batch_size * max(budget.width_steps, budget.data_steps)
    stories = build_task(n_stories, 1, budget.first_seed + seed, "validation", tokenizer)
    answers = write_teacher_cache(
        folder / f"enseignant_{seed}.safetensors",
        teacher,
        stories.batches(budget.batch_size, seed),
        budget.top_k,
    )
    held_out = build_task(1, budget.n_held_out, 0, "test", tokenizer)
    specialist = train_specialist(seed, budget, tokenizer)
    return Classroom(seed, budget, teacher, specialist, tokenizer, stories, held_out, answers)


def train_specialist(seed: int, budget: Budget, tokenizer: Tokenizer) -> Decoder:
    """Le petit LLM affiné en entier sur les questions, au taux du chapitre 08."""
    teacher, _ = load_petit_llm()
    teacher.requires_grad_(True)
    data = question_examples(seed, budget, tokenizer)
    rate = question_answering.rate_for("tout")
    teach(teacher, data, budget.question_steps, rate, seed, language_model_loss)
    return teacher


def question_examples(seed: int, budget: Budget, tokenizer: Tokenizer) -> AnswerExamples:
    """Les questions dont apprennent le spécialiste, puis ses élèves."""
    questions = generate_questions(budget.n_questions, "train", seed + 1)
    return AnswerExamples(as_examples(questions, tokenizer), budget.batch_size, seed)


def student_shape(width: int) -> LlamaConfig:
    """Un élève de cette largeur : le découpage et la forme de l’enseignant, en plus étroit."""
    return LlamaConfig(
        vocab_size=SHAPE.vocab_size,
        context_length=SHAPE.context_length,
        d_model=width,
        n_layers=SHAPE.n_layers,
        n_heads=max(1, min(SHAPE.n_heads, width // 8)),
        d_ff=2 * width,
    )


def rate_for(width: int) -> float:
    """Le taux d’apprentissage d’une largeur, choisi sans enseignant au chapitre 02."""
    return BEST_RATES[width]


def teach(student: Decoder, data, n_steps: int, rate: float, seed: int, loss: Loss) -> float:
    """Entraîne l’élève ; rend le temps de calcul, en secondes d’un fil."""
    start = time.process_time()
    config = TrainingConfig(n_steps, rate, seed=seed, n_threads=1)
    train(student, data, config, loss=loss, progress=False)
    return time.process_time() - start


def loss_for(mode: str, teacher: Decoder) -> Loss:
    """Ce dont apprend un élève, aussi profond que le petit LLM, selon la leçon.

    « sans » : les vrais jetons ; « avec » : les probabilités de l’enseignant ; « attention » : ces
    probabilités, et où l’enseignant regarde, à poids égaux.
    """
    if mode == ALONE:
        return language_model_loss
    soft = SoftTargetLoss(teacher)
    if mode == TAUGHT:
        return soft
    return AttentionLoss(teacher, even_layer_map(SHAPE.n_layers, len(teacher.blocks)), soft)


def teach_stories(
    room: Classroom, width: int, n_stories: int, n_steps: int, mode: str, **settings
) -> tuple[Decoder, dict]:
    """Un élève et ce qu’il vaut, après `n_steps` pas sur les `n_stories` premières histoires.

    `settings` règle la leçon « avec », la seule dont les probabilités sont déjà calculées.
    """
    student = llama(student_shape(width), room.seed)
    some = replace(room.stories, rows=room.stories.rows[:n_stories])
    data = some.batches(room.budget.batch_size, room.seed)
    if mode == TAUGHT:
        data, loss = DistillationBatches(data, room.answers), SoftTargetLoss(**settings)
    else:
        loss = loss_for(mode, room.teacher)
    seconds = teach(student, data, n_steps, rate_for(width), room.seed, loss)
    return student, report(student, room.held_out) | {"cpu_seconds": seconds}


def report(model: Decoder, held_out: StoryTask) -> dict:
    """Ce que vaut un modèle : distance à la loi des histoires, compétences, et leur moyenne."""
    score = score_network(model, held_out)
    quality = sum(score.skills.values()) / len(score.skills)
    size = {"parameters": count_parameters(model)}
    return size | {"kl": score.kl, "quality": quality, "skills": score.skills}


def ask(model: Decoder, room: Classroom) -> float:
    """Part de réponses exactes, sur des questions nouvelles."""
    asked = generate_questions(room.budget.n_asked, "test")
    found = exact_answers(model, AnswerExamples(as_examples(asked, room.tokenizer), 50))
    return sum(found) / len(found)


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
