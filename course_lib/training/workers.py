"""Qui fait le travail d’un entraînement : un seul processus ici, une équipe ailleurs.

La boucle ne sait pas combien de processus la font tourner : elle passe par ces quelques gestes.
`course_lib.parallel` les redéfinit pour plusieurs processus.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.training.optimization import TrainingConfig, build_optimizer

Share = Callable[[], tuple[Tensor, int]]  # la perte moyenne d’un morceau de lot, et ses jetons


def add_up(parts: Sequence[Share]) -> tuple[Tensor, int]:
    """Pose le gradient de la perte sommée sur les jetons ; rend cette somme, et leur nombre.

    Une somme, et non une moyenne : les morceaux n’ont pas tous autant de cibles. Un morceau qui
    n’en a aucune n’apporte rien.
    """
    loss_sum, n_total = torch.zeros(()), 0
    for part in parts:
        loss, n_tokens = part()
        if n_tokens:
            (loss * n_tokens).backward()
            loss_sum = loss.detach() * n_tokens + loss_sum.to(loss)
        n_total += n_tokens
    return loss_sum, n_total


@torch.no_grad()
def scale_gradients(parameters: Sequence[nn.Parameter], scale: float) -> None:
    """Multiplie chaque gradient par `scale`."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(scale)


class OneProcess:
    """Un processus qui fait tout, et n’a personne à qui parler."""

    rank, n_workers = 0, 1

    @property
    def is_main(self) -> bool:
        """Vrai pour le processus qui parle au lecteur et écrit sur le disque."""
        return self.rank == 0

    def prepare(self, model: nn.Module) -> None:
        """Met le modèle en place avant le premier pas."""

    def build_optimizer(self, model: nn.Module, config: TrainingConfig):
        """L’optimiseur du modèle mis en place."""
        return build_optimizer(model, config)

    def seed(self, seed: int) -> int:
        """La graine de ce processus."""
        return seed

    def batch(self, data, step: int) -> tuple:
        """La part du lot global que ce processus traite au pas `step`."""
        return data.batch(step)

    def backward(
        self, parts: Sequence[Share], parameters: Sequence[nn.Parameter]
    ) -> tuple[Tensor, int]:
        """Pose dans `parameters` le gradient du lot global ; rend sa perte et ses jetons.

        `parts` : les morceaux du lot, que l’on traite l’un après l’autre.
        """
        if len(parts) > 1:
            loss_sum, n_tokens = add_up(parts)
            scale_gradients(parameters, 1 / max(n_tokens, 1))
            return loss_sum / max(n_tokens, 1), n_tokens
        loss, n_tokens = parts[0]()
        if n_tokens:
            loss.backward()
        return loss.detach(), n_tokens

    def clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> None:
        """Ramène la norme du gradient complet à `max_norm` au plus."""
        nn.utils.clip_grad_norm_(parameters, max_norm)

    def agree(self, flag: bool) -> bool:
        """Vrai si l’un des processus au moins dit vrai."""
        return flag

    def on_main(self, action: Callable[[], Any]) -> Any:
        """Résultat, ou exception, de `action`, exécutée par le seul processus principal."""
        return action()

    def gather(self, text: str) -> list[str]:
        """Le texte de chaque processus, dans l’ordre des rangs."""
        return [text]

    def whole(self, tensor: Tensor) -> Tensor:
        """Le tenseur complet dont chaque processus n’a peut-être qu’un morceau."""
        return tensor

    def place(self, value: Tensor, like: Tensor) -> Tensor:
        """Le morceau de `value`, complet, qui va à la place de `like`."""
        return value

    def whole_model(self, model: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
        """Le modèle complet ; `make()` en fabrique un neuf s’il faut en réunir les morceaux."""
        return model
