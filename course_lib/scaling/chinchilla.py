"""La loi de Chinchilla : quelle taille et combien de jetons pour un calcul donné.

L(N, D) = E + A / N^α + B / D^β, en nats par jeton : ce qui reste de hasard dans la langue, ce que
coûte un modèle trop petit, ce que coûte un texte trop court. Les constantes ont été ajustées sur
les modèles et le corpus d’Hoffmann et al. 2022 : ailleurs, ce ne sont que des ordres de grandeur.
Sauf demande contraire, ce sont celles de Besiroglu et al. 2024, qui ont refait l’ajustement.
"""

import math
from dataclasses import dataclass

from course_lib.extras import needed_by

with needed_by("scaling"):
    from scipy.optimize import minimize_scalar

from course_lib.typography import format_number

FLOPS_PER_PARAMETER = 6  # apprentissage : 6 N D ; lecture ou écriture : 2 N par jeton


@dataclass(frozen=True)
class Law:
    """Les cinq constantes de L(N, D) = entropy + a / N^alpha + b / D^beta, et leur source."""

    entropy: float
    a: float
    b: float
    alpha: float
    beta: float
    source: str


# Telles qu’imprimées : elles contredisent la règle de vingt jetons par paramètre du même article.
HOFFMANN = Law(1.69, 406.4, 410.7, 0.34, 0.28, "Hoffmann et al. 2022, équation 10")
# L’ajustement refait sur les mêmes points s’accorde avec elle.
BESIROGLU = Law(1.8172, 482.01, 2085.43, 0.3478, 0.3658, "Besiroglu et al. 2024, équation 2")


@dataclass(frozen=True)
class Plan:
    """Un modèle de `parameters` poids appris sur `tokens` jetons, puis employé (opérations)."""

    parameters: float
    tokens: float
    loss: float
    training_flops: float
    inference_flops: float = 0.0

    @property
    def total_flops(self) -> float:
        """Apprentissage et emploi réunis."""
        return self.training_flops + self.inference_flops


def loss(parameters: float, tokens: float, law: Law = BESIROGLU) -> float:
    """Perte attendue, en nats par jeton. Source : Hoffmann et al. 2022, équation 10."""
    _check_positive(parameters=parameters, tokens=tokens)
    return law.entropy + law.a / parameters**law.alpha + law.b / tokens**law.beta


def optimal(compute: float, law: Law = BESIROGLU) -> Plan:
    """Le meilleur modèle pour `compute` opérations d’apprentissage, sous 6 N D = compute.

    Forme close : N = G (C/6)^(β/(α+β)), D = (C/6)/N, G = (αA/βB)^(1/(α+β)).
    Source : Hoffmann et al. 2022, équation 4. ValueError si `compute` n’est pas positif.
    """
    _check_positive(compute=compute)
    product = compute / FLOPS_PER_PARAMETER
    both = law.alpha + law.beta
    scale = (law.alpha * law.a / (law.beta * law.b)) ** (1 / both)
    parameters = scale * product ** (law.beta / both)
    tokens = product / parameters
    return Plan(parameters, tokens, loss(parameters, tokens, law), compute)


def tokens_needed(parameters: float, target_loss: float, law: Law = BESIROGLU) -> float:
    """Jetons qu’il faut à un modèle de cette taille pour atteindre la perte, ou ∞."""
    _check_positive(parameters=parameters)
    _check_target(target_loss, law)
    gap = target_loss - law.entropy - law.a / parameters**law.alpha
    return (law.b / gap) ** (1 / law.beta) if gap > 0 else math.inf


def cheapest_model(target_loss: float, inference_tokens: float = 0.0, law: Law = BESIROGLU) -> Plan:
    """Le modèle le moins coûteux, apprentissage et emploi réunis, pour une perte donnée.

    Minimise 6 N D + 2 N T, où T = `inference_tokens` : un modèle très employé gagne à être plus
    petit et à lire plus de texte. ValueError si la perte est sous le hasard de la langue.
    """
    _check_target(target_loss, law)
    if not 0 <= inference_tokens < math.inf:
        raise ValueError(
            f"inference_tokens = {inference_tokens} : il faut un nombre de jetons positif ou nul."
        )
    smallest = (law.a / (target_loss - law.entropy)) ** (
        1 / law.alpha
    )  # il y faudrait un texte infini

    def log_cost(log_ratio: float) -> float:
        parameters = smallest * math.exp(log_ratio)
        tokens = tokens_needed(parameters, target_loss, law)
        return math.log(parameters) + math.log(6 * tokens + 2 * inference_tokens)

    found = minimize_scalar(log_cost, bounds=(1e-6, 12), method="bounded", options={"xatol": 1e-9})
    parameters = smallest * math.exp(found.x)
    tokens = tokens_needed(parameters, target_loss, law)
    training, inference = 6 * parameters * tokens, 2 * parameters * inference_tokens
    return Plan(parameters, tokens, loss(parameters, tokens, law), training, inference)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} = {value} : il faut un nombre strictement positif et fini.")


def _check_target(target_loss: float, law: Law) -> None:
    if not law.entropy < target_loss < math.inf:
        raise ValueError(
            f"target_loss = {target_loss} : aucune taille n’y suffit, car la loi garde "
            f"{format_number(law.entropy)} nats de hasard par jeton. Visez une perte plus grande."
        )
