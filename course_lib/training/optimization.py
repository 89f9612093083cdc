"""Les réglages d’un entraînement, le taux d’apprentissage au fil des pas, l’optimiseur."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real

import torch
from torch import nn

from course_lib.training.devices import DEVICES, DTYPES
from course_lib.transformer.blocks import Block
from course_lib.transformer.derived import derived
from course_lib.transformer.sizes import check_types

OPTIMIZERS = ("adamw", "muon")


@dataclass(frozen=True)
class TrainingConfig:
    """Réglages d’un entraînement ; chacun est vérifié à la construction (ValueError).

    `warmup_steps` vaut par défaut 5 % des pas, quel qu’en soit le nombre. Pour `eval_every` et
    `checkpoint_every`, en pas, 0 signifie « seulement à la fin ». `n_threads` fixe le nombre de
    fils de calcul de PyTorch le temps de l’entraînement ; None laisse celui du programme.

    `optimizer` : « adamw », ou « muon » (voir `build_optimizer`). `muon_rate_ratio` : le taux des
    matrices que fait avancer Muon, rapporté à `learning_rate`, celui du reste. `device` : « cpu »,
    « cuda », « mps », ou « auto », le premier accélérateur présent ; None laisse le modèle où il
    est.
    `dtype` : « bfloat16 » fait les produits de matrices sur 16 bits, les poids restent entiers.
    `accumulate` : en combien de morceaux on traite chaque lot, l’un après l’autre, quand la mémoire
    ne le tient pas entier ; le gradient est le même, à l’arrondi près. `compile` : les blocs du
    modèle passent par `torch.compile` le temps de l’entraînement.
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
    optimizer: str = "adamw"
    muon_rate_ratio: float = 1.0
    device: str | None = None
    dtype: str = "float32"
    accumulate: int = 1
    compile: bool = False

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
        _require(self.accumulate >= 1, "accumulate", self.accumulate, "au moins 1 morceau par lot")
        choices = {"optimizer": OPTIMIZERS, "device": (*DEVICES, None), "dtype": DTYPES}
        for name, known in choices.items():
            listed = ", ".join(map(str, known))
            _require(getattr(self, name) in known, name, getattr(self, name), f"un de : {listed}")
        _check_muon_rate(self)


def _numbers(betas) -> tuple:
    """Le couple donné, sous forme de tuple ; ce qui n’est pas une suite est rendu seul."""
    return tuple(betas) if isinstance(betas, Iterable) else (betas,)


def _require(condition: bool, name: str, value, expected: str) -> None:
    if not condition:
        raise ValueError(f"{name} = {value} est impossible : il faut {expected}.")


def _check_muon_rate(config: TrainingConfig) -> None:
    ratio = config.muon_rate_ratio
    remedy = "un nombre positif ; à 1, Muon suit le taux du reste"
    _require(ratio > 0, "muon_rate_ratio", ratio, remedy)
    if ratio != 1 and config.optimizer != "muon":
        raise ValueError(
            f"muon_rate_ratio = {ratio} serait oublié avec optimizer = {config.optimizer} : ce "
            "rapport règle le taux de Muon. Ôtez-le, ou prenez optimizer = muon."
        )


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


class OptimizerPair:
    """Deux optimiseurs qui se partagent les paramètres et avancent ensemble."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers
        self.param_groups = [group for one in optimizers for group in one.param_groups]
        self.state = defaultdict(dict)  # commun : chaque paramètre n’est qu’à l’un des deux
        for one in optimizers:
            one.state = self.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Oublie les gradients."""
        for one in self.optimizers:
            one.zero_grad(set_to_none)

    def step(self) -> None:
        """Fait avancer tous les paramètres."""
        for one in self.optimizers:
            one.step()


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW | OptimizerPair:
    """AdamW (arXiv:1711.05101) où seules les matrices décroissent, ou Muon et lui.

    Un gain de normalisation ou un biais tiré vers zéro n’est pas plus simple, seulement faux :
    la décroissance ne touche que les poids d’au moins deux dimensions. Les paramètres gelés
    (`requires_grad=False`) sont laissés de côté. Muon (K. Jordan 2024) fait avancer les matrices
    des blocs d’une quantité égale dans toutes leurs directions ; à l’échelle de Liu et al. 2025
    (arXiv:2502.16982, §2.2), il peut suivre le même taux qu’AdamW, qui garde le reste : embeddings,
    tête, normes et biais ; son groupe garde, sous `rate_ratio`, de quoi en suivre un autre.
    ValueError s’il n’y a rien à entraîner, s’il en reste en float16, ou si Muon n’a aucune matrice.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    _check_trainable(trainable)
    if config.optimizer == "adamw":
        return _adamw(trainable, config)
    matrices = _block_matrices(model)
    muon = torch.optim.Muon(
        [{"params": matrices, "rate_ratio": config.muon_rate_ratio}],
        lr=config.learning_rate * config.muon_rate_ratio,
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    chosen = set(matrices)
    rest = [p for p in trainable if p not in chosen]
    return OptimizerPair(muon, _adamw(rest, config)) if rest else muon


def _adamw(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = not any(p.is_meta for p in parameters)  # « meta » : des formes, sans nombres
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def _block_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Les matrices à entraîner des blocs de Transformer, chacune une fois."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    found = dict.fromkeys(p for b in blocks for p in b.parameters() if p.requires_grad)
    matrices = [p for p in found if p.dim() == 2]
    if not matrices:
        raise ValueError(
            f"optimizer = muon : {type(model).__name__} n’a aucune matrice à entraîner dans un "
            "bloc de Transformer. Prenez adamw."
        )
    return matrices


def _check_trainable(trainable: list[nn.Parameter]) -> None:
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
