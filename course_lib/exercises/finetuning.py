"""Les exercices de l’affinage : compter, fondre, masquer, et une tâche à soi."""

from collections import Counter
from typing import Any

import torch
from torch import nn

from course_lib.exercises import judges
from course_lib.exercises.answers import type_name
from course_lib.exercises.exercise import Exercise, require
from course_lib.finetuning import LoRAConfig
from course_lib.finetuning.lora_weights import LoRAWeights
from course_lib.training.data import IGNORE
from course_lib.typography import format_number

INPUTS, OUTPUTS, RANK = 576, 192, 8
_LORA = LoRAWeights(nn.Linear(INPUTS, OUTPUTS, bias=False), LoRAConfig(RANK))

# Les paramètres d’un LoRA de rang 8 sur une couche 576 → 192.
count_correction = Exercise(
    judges.Integer(
        sum(parameter.numel() for parameter in _LORA.parameters()),
        [
            (INPUTS * OUTPUTS, "c'est la couche elle-même, qui reste gelée"),
            (RANK * INPUTS, "c'est A seule : B compte aussi"),
            (RANK * OUTPUTS, "c'est B seule : A compte aussi"),
            (RANK * INPUTS * OUTPUTS, "le rang ne multiplie pas la couche : il la résume"),
            (INPUTS + OUTPUTS, "c'est le rang 1"),
            (
                INPUTS * OUTPUTS + RANK * (INPUTS + OUTPUTS),
                "la couche est gelée : on n'entraîne que la correction",
            ),
            (2 * RANK * INPUTS, "A et B n'ont pas la même taille : B écrit dans les sorties"),
            (2 * RANK * OUTPUTS, "A et B n'ont pas la même taille : A lit les entrées"),
        ],
    ),
    (
        "A a huit lignes, d'un nombre par entrée ; et B ?",
        "B a une ligne par sortie, de huit nombres chacune. Additionnez.",
    ),
)

# Les matrices du chapitre.
W = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
A = torch.tensor([[1.0, -1.0, 0.0]])
B = torch.tensor([[0.0], [2.0], [0.0]])

# La matrice qui fait le travail de la couche et de sa correction.
merge = Exercise(
    judges.Numbers(
        W + B @ A,
        [
            (W, "c'est la couche seule"),
            (B @ A, "c'est la correction seule : la couche travaille aussi"),
            (W + (B @ A).T, "la correction est retournée : B écrit dans les sorties, A lit"),
            (W - B @ A, "la correction s'ajoute"),
            (B @ A @ W, "les deux travaux s'ajoutent ; ils ne s'enchaînent pas"),
            (W + A + B, "A et B se multiplient : A lit, puis B écrit"),
            (W + A @ B, "dans A B, B travaillerait avant A"),
            ((W + B @ A) @ torch.tensor([4.0, 1.0, 2.0]), "c'est une sortie : on veut la matrice"),
        ],
        tolerance=1e-4,
    ),
    (
        "y = W x + B A x : mettez x en facteur.",
        "B A est une matrice de la forme de W, de rang 1 : une colonne par une ligne.",
    ),
)


def _targets(ids: list[int], n_prompt: int) -> list[int]:
    return [ids[i + 1] if i + 1 >= n_prompt else IGNORE for i in range(len(ids) - 1)]


# Écrire `mask_prompt(ids, n_prompt)`.
mask_prompt = Exercise(
    judges.Function(
        _targets,
        [
            ([5, 6, 7, 8, 3], 3),
            ([1, 2, 3, 4, 9], 4),
            ([5, 6], 1),
            ([7, 2, 7, 8], 2),
        ],
        [
            (
                lambda ids, n: [i if r >= n else IGNORE for r, i in enumerate(ids)],
                "chaque cible est le jeton lui-même : on demande le suivant",
            ),
            (
                lambda ids, n: [ids[r] if r >= n else IGNORE for r in range(len(ids) - 1)],
                "chaque cible est le jeton lui-même : on demande le suivant",
            ),
            (
                lambda ids, n: [IGNORE] * n + ids[n + 1 :],
                "décalé d'un : le dernier jeton de la consigne prédit le premier de la réponse",
            ),
            (
                lambda ids, n: [IGNORE] * (n - 2) + ids[max(n - 1, 1) :],
                "décalé d'un : le dernier jeton de la consigne ne doit pas être prédit",
            ),
            (lambda ids, n: ids[1:], "la consigne n'est pas masquée"),
            (
                lambda ids, n: [*_targets(ids, n), IGNORE],
                "une cible de trop : après le dernier jeton, il n'y a rien à prédire",
            ),
            (
                lambda ids, n: ids[n:],
                "les cibles de la consigne sont absentes : elles valent −100, à leur place",
            ),
            (
                lambda ids, n: [ids[i + 1] if i + 1 < n else IGNORE for i in range(len(ids) - 1)],
                "c'est la réponse qui est masquée, et la consigne qui reste",
            ),
            (
                lambda ids, n: [ids[i + 1] if i + 1 >= n else 0 for i in range(len(ids) - 1)],
                "un masque vaut −100 : 0 est un jeton comme un autre",
            ),
            (
                lambda ids, n: [ids[i + 1] if i + 1 >= n else 100 for i in range(len(ids) - 1)],
                "c'est −100, et non 100",
            ),
        ],
        tolerance=0.0,
    ),
    (
        "au rang i, la cible est le jeton i + 1 : quand est-il dans la réponse ?",
        "il y est dès que i + 1 ≥ n_prompt ; et i s'arrête à l'avant-dernier jeton.",
    ),
)

LEAST_EXAMPLES, LEAST_TESTS = 50, 10


def _own_task(answer: Any) -> str:
    """Juge `(exemples, épreuve, réponses du modèle)`, et compare au plus simple des repères."""
    require(
        isinstance(answer, tuple | list) and len(answer) == 3,
        "on attend vos exemples, votre épreuve et les réponses du modèle : "
        "`(examples, test, written)`",
    )
    examples, test, written = answer
    _check_pairs(examples, "vos exemples", LEAST_EXAMPLES)
    _check_pairs(test, "votre épreuve", LEAST_TESTS)
    common = {prompt for prompt, _ in examples} & {prompt for prompt, _ in test}
    count = len(common)
    require(
        not common,
        f"{count} consigne{'s' * (count > 1)} de l'épreuve se trouve{'nt' * (count > 1)} parmi les "
        "exemples : le modèle peut les savoir par cœur",
    )
    require(isinstance(written, list | tuple), "les réponses du modèle forment une liste")
    require(len(written) == len(test), f"{len(written)} réponses pour {len(test)} consignes")
    for text in written:
        require(isinstance(text, str), f"une réponse du modèle est un texte, pas {type_name(text)}")
    favorite = Counter(reply.strip() for _, reply in examples).most_common(1)[0][0]
    right = sum(
        text.strip() == reply.strip() for text, (_, reply) in zip(written, test, strict=True)
    )
    lazy = sum(reply.strip() == favorite for _, reply in test)
    return (
        f"{right} réponse{'s' * (right > 1)} exacte{'s' * (right > 1)} sur {len(test)}, avec "
        f"{format_number(len(examples))} exemples. Répondre toujours « {favorite} » en donnerait "
        f"{lazy}."
    )


def _check_pairs(pairs: Any, what: str, least: int) -> None:
    require(isinstance(pairs, list | tuple), f"{what} forment une liste de couples")
    require(len(pairs) >= least, f"{what} : {len(pairs)} couples ; il en faut au moins {least}")
    for pair in pairs:
        require(
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and all(isinstance(text, str) and text.strip() for text in pair),
            f"{what} : chaque couple est une consigne et sa réponse, deux textes non vides",
        )
    prompts = {prompt for prompt, _ in pairs}
    require(len(prompts) == len(pairs), f"{what} : une consigne y est deux fois")
    require(len({reply.strip() for _, reply in pairs}) > 1, f"{what} ont tous la même réponse")


# Ouvert : votre tâche, cinquante exemples.
own_task = Exercise(
    _own_task,
    (
        "cinquante couples (consigne, réponse) pour apprendre, dix autres pour l'épreuve, et ce "
        "que le modèle affiné écrit pour chacun des dix.",
        "encodez vos couples, `attach_lora`, `train` sur `AnswerExamples`, puis "
        "`TextGenerator(model, tokenizer).complete(prompt, …)` au choix glouton.",
    ),
)
