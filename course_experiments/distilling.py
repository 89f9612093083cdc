"""Distiller le petit LLM : des élèves de toutes tailles, avec et sans enseignant.

    python -m course_experiments.distilling --seeds 0 1 2

L’enseignant est le petit LLM livré. Chaque élève part de poids tirés au sort. « sans » : il
n’apprend que des vrais jetons ; « avec » : que des probabilités de l’enseignant ; « attention » :
de ces probabilités, et des endroits que l’enseignant regarde. Tout le reste est égal : histoires,
ordre, pas, taux d’apprentissage. Quatre séries :

    données    une largeur, de 100 histoires relues à des histoires toujours nouvelles
    largeur    de 8 à 64, puis l’élève apprend l’application : répondre à des questions
    réglage    température et part de l’enseignant, à 300 histoires
    façon      autres divergences, vecteurs cachés, textes de l’enseignant ou de l’élève, à 300

Les réponses de l’enseignant aux histoires d’une graine sont calculées une fois et gardées.

Les mesures vont dans `results/distilling.json` ; une commande interrompue reprend où elle en était.
"""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from course_experiments.classroom import (
    MODES,
    TAUGHT,
    Budget,
    Classroom,
    ask,
    loss_for,
    open_classroom,
    question_examples,
    rate_for,
    report,
    student_shape,
    teach,
    teach_stories,
)
from course_experiments.experiment import Experiment
from course_lib.distillation import (
    FeatureLoss,
    FeatureStudent,
    HiddenStateLoss,
    OnPolicyBatches,
    SoftTargetLoss,
    even_layer_map,
    teacher_texts,
)
from course_lib.models.shipped import SHAPE
from course_lib.training.losses import language_model_loss
from course_lib.transformer import llama

WIDTHS = (8, 16, 32, 48, 64)
DATA_SIZES = (100, 300, 1_000, 8_000)  # la dernière : aucune histoire relue
SETTINGS = ((1.0, 1.0), (2.0, 1.0), (4.0, 1.0), (1.0, 0.5))  # température, part de l’enseignant
WAYS = (
    "divergence inverse",
    "Jensen-Shannon",
    "vecteurs cachés",
    "textes de l’enseignant",
    "textes de l’élève",
)
SMALL_DATA = 300


def run_data(room: Classroom, n_stories: int, mode: str, **settings) -> dict:
    """Une largeur, un nombre d’histoires, et le même nombre de pas pour tous."""
    budget = room.budget
    return teach_stories(room, budget.data_width, n_stories, budget.data_steps, mode, **settings)[1]


def run_way(room: Classroom, way: str) -> dict:
    """Une autre façon d’apprendre de l’enseignant, à peu d’histoires et pas égaux."""
    divergences = {"divergence inverse": "reverse", "Jensen-Shannon": "jensen_shannon"}
    if way in divergences:
        return run_data(room, SMALL_DATA, TAUGHT, divergence=divergences[way])
    budget, seed, width = room.budget, room.seed, room.budget.data_width
    student = llama(student_shape(width), seed)
    learner, rows = student, room.stories.rows[:SMALL_DATA]
    loss = SoftTargetLoss(room.teacher)
    if way == "textes de l’enseignant":
        special = {"bos_id": room.tokenizer.bos_id, "eos_id": room.tokenizer.eos_id}
        settings = {"seed": seed, "progress": False, **special}
        rows = rows + teacher_texts(room.teacher, budget.n_texts, budget.max_new_tokens, **settings)
        loss = language_model_loss
    elif way == "vecteurs cachés":
        layers = even_layer_map(len(student.blocks), len(room.teacher.blocks))
        hidden = HiddenStateLoss(layers, width, SHAPE.d_model, seed=seed)
        learner, loss = FeatureStudent(student, hidden), FeatureLoss(room.teacher, loss)
    data = replace(room.stories, rows=rows).batches(budget.batch_size, seed)
    if way == "textes de l’élève":
        data = OnPolicyBatches(
            student,
            data,
            max_new_tokens=budget.max_new_tokens,
            fraction=budget.own_texts,
            batch_size=budget.batch_size,
            seed=seed,
            bos_id=room.tokenizer.bos_id,
            eos_id=room.tokenizer.eos_id,
            pad_id=room.tokenizer.pad_id,
        )
    seconds = teach(learner, data, budget.data_steps, rate_for(width), seed, loss)
    return report(student, room.held_out) | {"cpu_seconds": seconds}


def run_width(room: Classroom, width: int, mode: str) -> dict:
    """Une largeur : d’abord les histoires, chacune lue une fois, puis l’application.

    Avec enseignant, c’est alors le spécialiste ; sans, l’élève apprend des vraies réponses.
    """
    budget, seed = room.budget, room.seed
    student, found = teach_stories(
        room, width, budget.width_steps * budget.batch_size, budget.width_steps, mode
    )
    data = question_examples(seed, budget, room.tokenizer)
    loss = loss_for(mode, room.specialist)
    teach(student, data, budget.question_steps, rate_for(width) / 2, seed, loss)
    return found | {"exact": ask(student, room)}


def run_teacher(room: Classroom) -> dict:
    """L’enseignant, mesuré comme ses élèves : la base sur les histoires, puis le spécialiste."""
    return report(room.teacher, room.held_out) | {"exact": ask(room.specialist, room)}


def trials() -> dict[str, Callable[[Classroom], dict]]:
    """Toutes les mesures de l’expérience, par nom."""
    found: dict[str, Callable] = {"enseignant": run_teacher}
    for mode in MODES:
        found |= {f"largeur {w} {mode}": partial(run_width, width=w, mode=mode) for w in WIDTHS}
        found |= {
            f"données {n} {mode}": partial(run_data, n_stories=n, mode=mode) for n in DATA_SIZES
        }
    return (
        found
        | {
            f"réglage {t:g} {a:g}": partial(
                run_data, n_stories=SMALL_DATA, mode=TAUGHT, temperature=t, alpha=a
            )
            for t, a in SETTINGS[1:]  # le premier est déjà dans « données »
        }
        | {f"façon {way}": partial(run_way, way=way) for way in WAYS}
    )


_folders = ExitStack()
atexit.register(_folders.close)


@lru_cache(maxsize=1)
def room_of(seed: int, budget: Budget) -> Classroom:
    """La classe d’une graine ; les réponses gardées pour la graine d’avant sont effacées."""
    _folders.close()
    folder = _folders.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
    return open_classroom(seed, budget, Path(folder))


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Une mesure, dans la classe de sa graine."""
    return trials()[name](room_of(seed, budget))


EXPERIMENT = Experiment(
    "distilling",
    "Distille le petit LLM dans des élèves de toutes tailles.",
    Budget(),
    list(trials()),
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
