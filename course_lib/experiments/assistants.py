"""L’assistant et le petit assistant : la fin de la chaîne, du texte à la distillation.

    python -m course_lib.experiments.assistants --seeds 0 1 2

L’assistant est le petit LLM affiné en entier à répondre aux questions, avec une reprise
d’histoires pour ne pas oublier de raconter. Le petit assistant est quatre fois plus petit : il
n’apprend que des probabilités de l’assistant, trois lots d’histoires pour un lot de questions. Les
mesures vont dans `results/assistants.json`, les poids de la première graine (demi-précision) dans
`results/assistants/` ; une commande interrompue reprend à la graine suivante.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from course_lib.corpora.questions import generate_questions
from course_lib.distillation import SoftTargetLoss
from course_lib.evaluation.answers import exact_answers
from course_lib.experiments import question_answering
from course_lib.experiments.base_model import SHAPE, load_base_model
from course_lib.experiments.classroom import rate_for, report, student_shape, teach
from course_lib.experiments.question_answering import as_examples
from course_lib.experiments.records import Records, load_records, rounded
from course_lib.experiments.story_task import StoryTask, build_task
from course_lib.finetuning import AnswerExamples, ReplayMix
from course_lib.tokenization import Tokenizer
from course_lib.training.arguments import FrenchArgumentParser, natural_int
from course_lib.training.losses import language_model_loss
from course_lib.transformer import Decoder, llama
from course_lib.transformer.half_precision import export_half_precision, load_half_precision

RESULTS = Path(__file__).parent / "results" / "assistants.json"
FOLDER = Path(__file__).parent / "results" / "assistants"
TEACHER, STUDENT = "assistant.safetensors", "petit_assistant.safetensors"
WIDTH = 48
COMMAND = "python -m course_lib.experiments.assistants"


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


def tune_assistant(plan: Plan, seed: int) -> tuple[Decoder, float]:
    """Affine le petit LLM, avec reprise ; rend le modèle et le temps de calcul."""
    model, tokenizer = load_base_model()
    model.requires_grad_(True)
    stories, questions = lessons(plan, seed, tokenizer)
    data = ReplayMix(questions, stories.batches(plan.batch_size, seed), plan.every)
    rate = question_answering.rate_for("tout, avec reprise")
    return model, teach(model, data, plan.tuning_steps, rate, seed, language_model_loss)


def distil_assistant(plan: Plan, seed: int, teacher: Decoder) -> tuple[Decoder, float]:
    """Distille l’assistant dans un élève étroit ; rend l’élève et le temps de calcul."""
    student = llama(student_shape(WIDTH), seed)
    stories, questions = lessons(plan, seed, load_base_model()[1])
    data = ReplayMix(stories.batches(plan.batch_size, seed), questions, plan.every)
    loss = SoftTargetLoss(teacher)
    return student, teach(student, data, plan.distillation_steps, rate_for(WIDTH), seed, loss)


def measure_assistant(model: Decoder, plan: Plan, tokenizer: Tokenizer) -> dict:
    """Ce que vaut un assistant : ses histoires, et la part de ses réponses exactes."""
    held_out = build_task(1, plan.n_held_out, 0, "test", tokenizer)
    asked = generate_questions(plan.n_asked, "test")
    found = exact_answers(model, AnswerExamples(as_examples(asked, tokenizer), 50))
    return report(model, held_out) | {"exact": sum(found) / len(found)}


def run(seed: int, plan: Plan, folder: Path | None = None) -> dict:
    """Une graine : affiner, distiller, mesurer ; écrit les poids si `folder` est donné."""
    tokenizer = load_base_model()[1]
    teacher, tuning_seconds = tune_assistant(plan, seed)
    student, distillation_seconds = distil_assistant(plan, seed, teacher)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        export_half_precision(teacher, folder / TEACHER)
        export_half_precision(student, folder / STUDENT)
    return rounded(
        {
            "assistant": measure_assistant(teacher, plan, tokenizer)
            | {"cpu_seconds": tuning_seconds},
            "petit assistant": measure_assistant(student, plan, tokenizer)
            | {"cpu_seconds": distillation_seconds},
        }
    )


def load_assistants(folder: Path = FOLDER) -> tuple[Decoder, Decoder, Tokenizer]:
    """Rend l’assistant, le petit assistant et leur découpage, prêts à écrire.

    FileNotFoundError si leurs poids manquent : le message donne la commande qui les refait.
    """
    for name in (TEACHER, STUDENT):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"Les poids « {name} » manquent dans « {folder.name} ». Refaites-les (un quart "
                f"d’heure) : {COMMAND}"
            )
    teacher = load_half_precision(folder / TEACHER, SHAPE)
    student = load_half_precision(folder / STUDENT, student_shape(WIDTH))
    return teacher, student, load_base_model()[1]


def load_results(path: Path = RESULTS) -> dict:
    """Relit les mesures livrées : `runs["assistants"]["0"]["petit assistant"]`…"""
    return load_records(path)


def measure(
    seeds: Sequence[int], path: Path, folder: Path | None = FOLDER, plan: Plan | None = None
) -> dict:
    """Fait ce qui manque au relevé ; la première graine donne les poids livrés."""
    plan = plan or Plan()
    records = Records(path, asdict(plan))
    for name, seed in tqdm(records.missing(["assistants"], seeds), desc="Graines"):
        records.add(name, seed, run(seed, plan, folder if seed == seeds[0] else None))
    return records.load()


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_lib.experiments.assistants",
        description="Affine le petit LLM en assistant, puis le distille.",
    )
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=[0, 1, 2], help="graines (0 1 2)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="fichier des mesures")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="dossier des poids")
    options = parser.parse_args(arguments)
    measure(options.seeds, options.output, options.folder)
    print(f"Mesures écrites dans {options.output.name}.")
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
