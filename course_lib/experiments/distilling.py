"""Distiller le petit LLM : des élèves de toutes tailles, avec et sans enseignant.

    python -m course_lib.experiments.distilling --seeds 0 1 2

L’enseignant est le petit LLM livré. Chaque élève part de poids tirés au sort. « sans » : il
n’apprend que des vrais jetons ; « avec » : que des probabilités de l’enseignant. Tout le reste est
égal : histoires, ordre, pas, taux d’apprentissage. Trois séries :

    données    une largeur, de 100 histoires relues à des histoires toujours nouvelles
    largeur    de 8 à 64, puis l’élève apprend l’application : répondre à des questions
    réglage    température et part de l’enseignant, à 300 histoires

Les réponses de l’enseignant aux histoires d’une graine sont calculées une fois et gardées.

Les mesures vont dans `results/distilling.json` ; une commande interrompue reprend où elle en était.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tqdm.auto import tqdm

from course_lib.corpora.questions import generate_questions
from course_lib.distillation import (
    DistillationBatches,
    SoftTargetLoss,
    TeacherCache,
    write_teacher_cache,
)
from course_lib.evaluation.answers import exact_answers
from course_lib.experiments import question_answering
from course_lib.experiments.base_model import SHAPE, load_base_model
from course_lib.experiments.question_answering import as_examples
from course_lib.experiments.records import Records, load_records, rounded
from course_lib.experiments.size_sweep import BEST_RATES
from course_lib.experiments.story_task import StoryTask, build_task, score_network
from course_lib.finetuning import AnswerExamples
from course_lib.tokenization import Tokenizer
from course_lib.training import TrainingConfig, train
from course_lib.training.arguments import FrenchArgumentParser, natural_int
from course_lib.training.losses import Loss, language_model_loss
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

RESULTS = Path(__file__).parent / "results" / "distilling.json"
ALONE, TAUGHT = "sans", "avec"
WIDTHS = (8, 16, 32, 48, 64)
DATA_SIZES = (100, 300, 1_000, 8_000)  # la dernière : aucune histoire relue
TEMPERATURES, ALPHAS = (1.0, 2.0, 4.0), (0.5, 1.0)
SMALL_DATA = 300


@dataclass(frozen=True)
class Budget:
    """Pas de chaque série, lots, et ce qui sert à mesurer.

    `top_k` : jetons gardés par réponse de l’enseignant ; `first_seed` éloigne les histoires de
    l’élève de celles qu’a lues l’enseignant.
    """

    batch_size: int = 8
    data_width: int = 48
    data_steps: int = 1_000
    width_steps: int = 2_000
    n_held_out: int = 300
    n_questions: int = 1_000
    question_steps: int = 300
    top_k: int = 32
    n_asked: int = 300
    first_seed: int = 100


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
    teacher, tokenizer = load_base_model()
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
    """Le petit LLM affiné en entier sur les questions, au taux du chapitre 07."""
    teacher, _ = load_base_model()
    teacher.requires_grad_(True)
    data = question_examples(seed, budget, tokenizer)
    rate = question_answering.rate_for("tout")
    teach(teacher, data, budget.question_steps, rate, seed, language_model_loss)
    return teacher


def question_examples(seed: int, budget: Budget, tokenizer: Tokenizer) -> AnswerExamples:
    """Les questions dont apprennent le spécialiste, puis ses élèves."""
    questions = generate_questions(budget.n_questions, "train", seed + 1)
    return AnswerExamples(as_examples(questions, tokenizer), budget.batch_size, seed)


def student_shape(width: int, n_layers: int = SHAPE.n_layers) -> LlamaConfig:
    """Un élève de cette largeur : le découpage et la forme de l’enseignant, en plus étroit."""
    return LlamaConfig(
        vocab_size=SHAPE.vocab_size,
        context_length=SHAPE.context_length,
        d_model=width,
        n_layers=n_layers,
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


def teach_stories(
    room: Classroom, width: int, n_stories: int, n_steps: int, mode: str, **settings
) -> tuple[Decoder, dict]:
    """Un élève et ce qu’il vaut, après `n_steps` pas sur les `n_stories` premières histoires."""
    student = llama(student_shape(width), room.seed)
    some = replace(room.stories, rows=room.stories.rows[:n_stories])
    data, loss = some.batches(room.budget.batch_size, room.seed), language_model_loss
    if mode == TAUGHT:
        data, loss = DistillationBatches(data, room.answers), SoftTargetLoss(**settings)
    seconds = teach(student, data, n_steps, rate_for(width), room.seed, loss)
    return student, report(student, room.held_out) | {"cpu_seconds": seconds}


def report(model: Decoder, held_out: StoryTask) -> dict:
    """Ce que vaut un modèle : distance à la loi des histoires, compétences, et leur moyenne."""
    score = score_network(model, held_out)
    quality = sum(score.skills.values()) / len(score.skills)
    size = {"parameters": count_parameters(model)}
    return size | {"kl": score.kl, "quality": quality, "skills": score.skills}


def run_data(room: Classroom, n_stories: int, mode: str, **settings) -> dict:
    """Une largeur, un nombre d’histoires, et le même nombre de pas pour tous."""
    budget = room.budget
    return teach_stories(room, budget.data_width, n_stories, budget.data_steps, mode, **settings)[1]


def run_width(room: Classroom, width: int, mode: str) -> dict:
    """Une largeur : d’abord les histoires, chacune lue une fois, puis l’application.

    Avec enseignant, l’élève apprend des réponses du spécialiste ; sans, des vraies réponses.
    """
    budget, seed = room.budget, room.seed
    student, found = teach_stories(
        room, width, budget.width_steps * budget.batch_size, budget.width_steps, mode
    )
    data = question_examples(seed, budget, room.tokenizer)
    loss = SoftTargetLoss(room.specialist) if mode == TAUGHT else language_model_loss
    teach(student, data, budget.question_steps, rate_for(width) / 2, seed, loss)
    return found | {"exact": ask(student, room)}


def ask(model: Decoder, room: Classroom) -> float:
    """Part de réponses exactes, sur des questions nouvelles."""
    asked = generate_questions(room.budget.n_asked, "test")
    found = exact_answers(model, AnswerExamples(as_examples(asked, room.tokenizer), 50))
    return sum(found) / len(found)


def run_teacher(room: Classroom) -> dict:
    """L’enseignant, mesuré comme ses élèves : la base sur les histoires, puis le spécialiste."""
    return report(room.teacher, room.held_out) | {"exact": ask(room.specialist, room)}


def trials() -> dict[str, Callable[[Classroom], dict]]:
    """Toutes les mesures de l’expérience, par nom."""
    found: dict[str, Callable] = {"enseignant": run_teacher}
    for mode in (ALONE, TAUGHT):
        found |= {f"largeur {w} {mode}": partial(run_width, width=w, mode=mode) for w in WIDTHS}
        found |= {
            f"données {n} {mode}": partial(run_data, n_stories=n, mode=mode) for n in DATA_SIZES
        }
    return found | {
        f"réglage {t:g} {a:g}": partial(
            run_data, n_stories=SMALL_DATA, mode=TAUGHT, temperature=t, alpha=a
        )
        for t in TEMPERATURES
        for a in ALPHAS
        if (t, a) != (1.0, 1.0)  # déjà dans « données »
    }


def load_results(path: Path = RESULTS) -> dict:
    """Relit les mesures livrées : `runs["largeur 48 avec"]["0"]`…"""
    return load_records(path)


def measure(seeds: Sequence[int], path: Path, budget: Budget | None = None) -> dict:
    """Fait ce qui manque au relevé et l’écrit à mesure."""
    budget = budget or Budget()
    records, wanted = Records(path, asdict(budget)), trials()
    for seed in seeds:
        missing = records.missing(wanted, [seed])
        if not missing:
            continue
        with TemporaryDirectory() as folder:
            room = open_classroom(seed, budget, Path(folder))
            for name, _ in tqdm(missing, desc=f"Élèves de la graine {seed}"):
                records.add(name, seed, rounded(wanted[name](room)))
    return records.load()


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_lib.experiments.distilling",
        description="Distille le petit LLM dans des élèves de toutes tailles.",
    )
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=[0, 1, 2], help="graines (0 1 2)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="fichier des mesures")
    options = parser.parse_args(arguments)
    measure(options.seeds, options.output)
    print(f"Mesures écrites dans {options.output.name}.")
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
