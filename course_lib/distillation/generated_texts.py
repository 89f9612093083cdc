"""Distiller par les textes : l’enseignant écrit, l’élève apprend ce qu’il a écrit.

Aucune probabilité ne passe de l’un à l’autre : les deux modèles peuvent avoir d’autres
vocabulaires, et l’enseignant n’être connu que par ce qu’il écrit. Source : Kim et Rush 2016, §3.2
(qui cherchent son texte le plus probable, par un faisceau ; tirer au sort donne plus de variété).
"""

from collections.abc import Sequence

from torch import nn

from course_lib.distillation.progress import teacher_bar
from course_lib.generation import SamplingConfig, generate, row_seeds

Answer = tuple[list[int], list[int]]


def teacher_answers(
    teacher: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    eos_id: int = 2,
    batch_size: int = 64,
    progress: bool = True,
) -> list[Answer]:
    """La réponse de l’enseignant à chaque amorce : couples (amorce, réponse, jeton de fin compris).

    Ce sont les exemples d’`AnswerExamples`. Les réponses qui n’atteignent pas le jeton de fin en
    `max_new_tokens` jetons sont écartées : l’élève apprendrait à s’arrêter n’importe où.
    `temperature` : 0 pour la suite la plus probable jeton à jeton. Les tirages dépendent de `seed`
    et de `batch_size`. ValueError si un réglage est impossible.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size} : il faut au moins un texte à la fois.")
    starts = range(0, len(prompts), batch_size)
    answers = []
    with teacher_bar("Textes de l’enseignant", len(prompts), progress) as bar:
        for start, batch_seed in zip(starts, row_seeds(seed, len(starts)), strict=True):
            batch = [list(prompt) for prompt in prompts[start : start + batch_size]]
            written = generate(
                teacher,
                batch,
                max_new_tokens,
                sampling=SamplingConfig(temperature),
                stop_ids=(eos_id,),
                seed=batch_seed,
                when_full="stop",  # un texte doit tenir dans le contexte : il sera relu d’un coup
            )
            for prompt, text in zip(batch, written, strict=True):
                if text.stopped_by == "stop_id":
                    answers.append((prompt, text.ids))
            bar.update(len(batch))
    return answers


def teacher_texts(
    teacher: nn.Module,
    n: int,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    bos_id: int = 1,
    eos_id: int = 2,
    batch_size: int = 64,
    progress: bool = True,
) -> list[list[int]]:
    """Les textes de l’enseignant, sans jeton de début ni de fin : les lignes de `SequenceBatches`.

    `n` textes sont écrits ; ceux qui ne finissent pas sont écartés, il peut donc en rester moins.
    Mêmes réglages et mêmes erreurs que `teacher_answers`.
    """
    if type(n) is not int or n < 1:
        raise ValueError(f"n = {n!r} : il faut un entier d’au moins 1, le nombre de textes.")
    answers = teacher_answers(
        teacher,
        [[bos_id]] * n,
        max_new_tokens,
        temperature=temperature,
        seed=seed,
        eos_id=eos_id,
        batch_size=batch_size,
        progress=progress,
    )
    return [ids[:-1] for _, ids in answers]
