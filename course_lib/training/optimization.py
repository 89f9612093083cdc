"""Les réglages d’un entraînement, le taux d’apprentissage au fil des pas, l’optimiseur AdamW."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real

import torch
from torch import nn

from course_lib.transformer.derived import derived
from course_lib.transformer.sizes import check_types


@dataclass(frozen=True)
class TrainingConfig:
    """Réglages d’un entraînement ; chacun est vérifié à la construction (ValueError).

    `warmup_steps` vaut par défaut 5 % des pas, quel qu’en soit le nombre. Pour `eval_every` et
    `checkpoint_every`, en pas, 0 signifie « seulement à la fin ». `n_threads` fixe le nombre de
    fils de calcul de PyTorch le temps de l’entraînement ; None laisse celui du programme.
    """

    n_steps: int
    learning_rate: float = 1e-3
    warmup_steps: int | None = derived(lambda config: config.n_steps // 20)
    min_learning_rate_ratio: float = 0.02
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    log_every: int = 10
    eval_every: int = 0
    checkpoint_every: int = 0
    seed: int = 0
    n_threads: int | None = None

    def __post_init__(self):
        check_types(self, unbounded=("max_grad_norm",))
        object.__setattr__(self, "betas", _numbers(self.betas))
        _require(self.n_steps >= 1, "n_steps", self.n_steps, "au moins 1 pas")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "un nombre positif")
        _require(
            0 <= self.warmup_steps <= self.n_steps,
            "warmup_steps",
            self.warmup_steps,
            f"un nombre de pas entre 0 et n_steps = {self.n_steps}",
        )
        ratio = self.min_learning_rate_ratio
        _require(0 <= ratio <= 1, "min_learning_rate_ratio", ratio, "un nombre entre 0 et 1")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "un nombre ≥ 0")
        in_range = len(self.betas) == 2 and all(
            isinstance(beta, Real) and 0 <= beta < 1 for beta in self.betas
        )
        _require(in_range, "betas", self.betas, "deux nombres dans [0, 1[")
        _require(self.max_grad_norm > 0, "max_grad_norm", self.max_grad_norm, "un nombre positif")
        _require(self.log_every >= 1, "log_every", self.log_every, "au moins 1 pas")
        for name in ("eval_every", "checkpoint_every"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "un nombre de pas ≥ 0")
        threads = self.n_threads
        _require(threads is None or threads >= 1, "n_threads", threads, "au moins 1 fil, ou None")


def _numbers(betas) -> tuple:
    """Le couple donné, sous forme de tuple ; ce qui n’est pas une suite est rendu seul."""
    return tuple(betas) if isinstance(betas, Iterable) else (betas,)


def _require(condition: bool, name: str, value, expected: str) -> None:
    if not condition:
        raise ValueError(f"{name} = {value} est impossible : il faut {expected}.")


def learning_rate_at(config: TrainingConfig, step: int) -> float:
    """Taux d’apprentissage du pas `step` (compté depuis 0) : montée linéaire, puis demi-cosinus.

    La montée atteint le maximum au dernier pas de chauffe ; la descente finit à
    `min_learning_rate_ratio` fois ce maximum (Loshchilov et Hutter, 2017, arXiv:1608.03983, éq. 5).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    decay_steps = max(1, config.n_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / decay_steps)
    floor = config.min_learning_rate_ratio
    return config.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101) où seules les matrices décroissent.

    Un gain de normalisation ou un biais tiré vers zéro n’est pas plus simple, seulement faux :
    la décroissance ne touche que les poids d’au moins deux dimensions. Les paramètres gelés
    (`requires_grad=False`) sont laissés de côté. ValueError s’il n’en reste aucun, ou s’il en
    reste en float16.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(
            "Ce modèle n’a aucun paramètre à entraîner : tous ont requires_grad=False. "
            "Dégelez-en au moins un."
        )
    if any(p.dtype == torch.float16 for p in trainable):
        raise ValueError(
            "Ce modèle est en float16 : le carré d’un petit gradient y devient zéro, et AdamW "
            "divise par lui. Entraînez-le en simple précision (model.float()), puis revenez à "
            "model.half()."
        )
    matrices = [p for p in trainable if p.dim() >= 2]
    vectors = [p for p in trainable if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
