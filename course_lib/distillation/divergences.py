"""À quelle distance l’élève est-il de l’enseignant ? Trois divergences, en nats par jeton.

Avec p = softmax(z_e / T) chez l’enseignant et q = softmax(z / T) chez l’élève :

    forward_kl       KL(p ‖ q) = Σ p log(p / q)      l’élève couvre tout ce que dit l’enseignant
    reverse_kl       KL(q ‖ p) = Σ q log(q / p)      l’élève évite ce que l’enseignant ne dit pas
    jensen_shannon   β KL(p ‖ m) + (1 − β) KL(q ‖ m), où m = β p + (1 − β) q

Chacune est la moyenne sur les positions gardées, multipliée par T² : une température T divise les
gradients par T² environ, ce facteur les remet à l’échelle de l’entropie croisée (Hinton et al.
2015, §2). Des log-probabilités sont des scores comme les autres : on peut les donner à la place.
Un score −∞ interdit un jeton. `forward_kl` est alors infinie si l’élève interdit un jeton que
l’enseignant permet, `reverse_kl` dans le cas inverse, `jensen_shannon` jamais.
Formes : … positions (souvent B, T), V scores par position, N positions gardées.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.transformer.precision import full_precision, widened

Divergence = Callable[[Tensor, Tensor, float], Tensor]


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """T² × moyenne de KL(enseignant ‖ élève) : la distillation de Hinton et al. 2015.

    Scores (…, V) des deux modèles ; `mask` (…) : True aux positions qui comptent, toutes par
    défaut. Le gradient par score de l’élève est T (q − p) / N. ValueError si les formes ne
    s’accordent pas, si la température n’est pas positive, si aucune position n’est gardée.
    """
    q, p = _log_probabilities(student_logits, teacher_logits, temperature, mask)
    return temperature**2 * _kl(p, q).mean()


def reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """T² × moyenne de KL(élève ‖ enseignant) ; mêmes arguments que `forward_kl`.

    Source : Gu et al. 2024 (MiniLLM), §2.1.
    """
    q, p = _log_probabilities(student_logits, teacher_logits, temperature, mask)
    return temperature**2 * _kl(q, p).mean()


def jensen_shannon(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    beta: float = 0.5,
) -> Tensor:
    """T² × moyenne de la divergence de Jensen-Shannon ; mêmes arguments que `forward_kl`.

    Divisée par β, elle tend vers `forward_kl` quand β tend vers 0 ; par 1 − β, vers `reverse_kl`
    quand β tend vers 1. Source : Agarwal et al. 2024, §2. ValueError si β n’est pas dans
    ]0, 1[ : elle serait nulle partout.
    """
    if not 0.0 < beta < 1.0:
        raise ValueError(
            f"beta = {beta} : il faut un nombre dans ]0, 1[. Aux deux bouts, employez forward_kl "
            "(β → 0) ou reverse_kl (β → 1)."
        )
    q, p = _log_probabilities(student_logits, teacher_logits, temperature, mask)
    m = _log_mixture(p, q, beta)  # (N, V)
    return temperature**2 * (beta * _kl(p, m) + (1 - beta) * _kl(q, m)).mean()


DIVERGENCES: dict[str, Divergence] = {
    "forward": forward_kl,
    "reverse": reverse_kl,
    "jensen_shannon": jensen_shannon,
}


def check_temperature(temperature: float) -> None:
    """ValueError si la température n’est pas un nombre strictement positif."""
    if not (math.isfinite(temperature) and temperature > 0.0):
        raise ValueError(
            f"temperature = {temperature} : il faut un nombre strictement positif. 1 garde les "
            "probabilités du modèle ; au-dessus, elles s’aplatissent."
        )


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) de chaque position : log-probabilités (N, V) → (N,).

    Un jeton que p interdit (score −∞) n’apporte rien, ni valeur ni gradient : 0 log 0 = 0. Un jeton
    que q seul interdit rend la divergence infinie.
    """
    p = log_p.exp()
    absent = p == 0
    with full_precision(p):
        return torch.linalg.vecdot(p, log_p.masked_fill(absent, 0) - log_q.masked_fill(absent, 0))


def _log_mixture(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """log(β p + (1 − β) q), (N, V) ; une valeur finie, sans effet, là où les deux sont nulles."""
    absent = (log_p == -math.inf) & (log_q == -math.inf)
    log_p, log_q = log_p.masked_fill(absent, 0), log_q.masked_fill(absent, 0)
    return torch.logaddexp(log_p + math.log(beta), log_q + math.log(1 - beta))


def _log_probabilities(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Log-probabilités de l’élève et de l’enseignant aux positions gardées, (N, V) chacune."""
    check_temperature(temperature)
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"L’élève rend des scores {tuple(student_logits.shape)} et l’enseignant "
            f"{tuple(teacher_logits.shape)} : il faut les mêmes positions et le même vocabulaire."
        )
    if mask is None:
        kept = (logits.flatten(0, -2) for logits in (student_logits, teacher_logits))
    else:
        if mask.dtype != torch.bool or mask.shape != student_logits.shape[:-1]:
            raise ValueError(
                f"mask est de type {mask.dtype} et de forme {tuple(mask.shape)} : il faut un "
                f"booléen par position, {tuple(student_logits.shape[:-1])}."
            )
        kept = (student_logits[mask], teacher_logits[mask])  # (…, V) → (N, V)
    student, teacher = ((widened(logits) / temperature).log_softmax(dim=-1) for logits in kept)
    if len(student) == 0:
        raise ValueError("Aucune position à comparer : mask les écarte toutes.")
    return student, teacher
