"""Apprendre de l’enseignant : ses probabilités entières, plutôt que le seul jeton juste.

    perte = α × divergence(élève, enseignant) + (1 − α) × entropie croisée avec les vrais jetons

Un jeton juste dit une chose ; la distribution de l’enseignant dit aussi lesquels auraient convenu.
Source : Hinton et al. 2015. Formes : B phrases, T jetons, V vocabulaire, N positions qui comptent.
"""

import torch
from torch import Tensor, nn

from course_lib.distillation.divergences import DIVERGENCES, Divergence, check_temperature
from course_lib.training.cross_entropy import mean_cross_entropy
from course_lib.training.devices import device_of, learned_rows, pick
from course_lib.training.losses import no_target_loss
from course_lib.transformer import evaluating
from course_lib.transformer.precision import widened


class SoftTargetLoss:
    """Une perte pour `train(élève, données, …, loss=SoftTargetLoss(enseignant))`.

    `teacher` : le modèle à imiter, consulté sans gradient ni oubli ; None si le lot apporte ses
    log-probabilités, (entrées, cibles, log-probabilités), comme ceux de `DistillationBatches`.
    `alpha` : la part de l’enseignant ; 1 oublie les vrais jetons, 0 oublie l’enseignant.
    `divergence` : un nom (« forward », « reverse », « jensen_shannon »), ou une fonction
    (scores de l’élève, de l’enseignant, température) → moyenne.
    ValueError si un réglage est impossible, ou si les deux vocabulaires diffèrent.
    """

    def __init__(
        self,
        teacher: nn.Module | None = None,
        alpha: float = 1.0,
        temperature: float = 1.0,
        divergence: str | Divergence = "forward",
    ):
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(
                f"alpha = {alpha} : c’est la part de l’enseignant dans la perte, dans [0, 1]."
            )
        check_temperature(temperature)
        if not callable(divergence) and divergence not in DIVERGENCES:
            raise ValueError(
                f"divergence = {divergence!r} est inconnue : choisissez parmi "
                f"{', '.join(DIVERGENCES)}, ou donnez une fonction."
            )
        self.teacher, self.alpha, self.temperature = teacher, alpha, temperature
        self.divergence = DIVERGENCES.get(divergence, divergence)

    def __call__(self, student: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """Lot = (entrées, cibles[, log-probabilités (B, T, V)]) → (perte moyenne, N).

        Les cibles à −100 ne comptent pas : les têtes des deux modèles n’y sont pas appliquées.
        """
        inputs, targets, *saved = batch
        n_tokens, rows = learned_rows(targets)
        logits = student.head(pick(student.hidden(inputs), rows))  # (N, V)
        if saved:
            check_vocabularies(logits.shape[-1], saved[0].shape[-1])
        elif self.teacher is not None:
            check_pair(student, self.teacher)
        if n_tokens == 0:
            return no_target_loss(logits), 0
        loss = torch.zeros((), dtype=widened(logits).dtype, device=logits.device)
        if self.alpha > 0.0:
            advice = pick(saved[0], rows) if saved else self._ask_teacher(inputs, rows)
            loss = loss + self.alpha * self.divergence(logits, advice, self.temperature)
        if self.alpha < 1.0:
            loss = loss + (1.0 - self.alpha) * mean_cross_entropy(logits, pick(targets, rows))
        return loss, n_tokens

    def _ask_teacher(self, inputs: Tensor, rows: Tensor | None) -> Tensor:
        if self.teacher is None:
            raise ValueError(
                "Ni enseignant, ni log-probabilités dans le lot : donnez teacher à SoftTargetLoss, "
                "ou prenez les lots de DistillationBatches."
            )
        return teacher_logits(self.teacher, inputs, rows)


@torch.no_grad()
def teacher_logits(teacher: nn.Module, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
    """Scores (N, V) de l’enseignant aux positions gardées, sans gradient ni oubli.

    `inputs` (B, T) ; `rows` (N,), les rangs des positions dans le lot aplati, toutes pour None.
    L’enseignant lit sur son appareil et répond sur celui des entrées ; il est rendu dans le mode
    où il était.
    """
    device = device_of(teacher)
    with evaluating(teacher):
        hidden = teacher.hidden(inputs.to(device))
        return teacher.head(pick(hidden, None if rows is None else rows.to(device))).to(
            inputs.device
        )


def check_pair(student: nn.Module, teacher: nn.Module) -> None:
    """ValueError si l’élève est l’enseignant lui-même, ou n’a pas un vocabulaire de même taille."""
    if student is teacher:
        raise ValueError(
            "L’élève et l’enseignant sont le même modèle : il n’y a rien à apprendre. Donnez une "
            "copie, copy.deepcopy(modèle)."
        )
    check_vocabularies(*(m.embedding.tokens.num_embeddings for m in (student, teacher)))


def check_vocabularies(ours: int, theirs: int) -> None:
    """ValueError si les deux vocabulaires, celui de l’élève d’abord, n’ont pas la même taille."""
    if ours != theirs:
        raise ValueError(
            f"L’élève a un vocabulaire de {ours} jetons et l’enseignant de {theirs} : on compare "
            "leurs probabilités jeton par jeton. Bâtissez l’élève avec le tokeniseur de "
            "l’enseignant, ou apprenez de ses textes (teacher_texts)."
        )
