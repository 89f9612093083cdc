"""Un modèle en morceaux : réunir les morceaux, remettre chacun à sa place, mesurer l’ensemble.

Un tenseur réparti est un `DTensor` : chaque processus n’en tient qu’un morceau, et le tenseur sait
où sont les autres.
"""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from course_lib.parallel.team import Team
from course_lib.training.checkpoint import named_tensors
from course_lib.training.devices import device_of
from course_lib.training.optimization import TrainingConfig, build_optimizer


class ShardedTeam(Team):
    """Une équipe dont chaque processus ne tient qu’un morceau de certains poids."""

    def whole(self, tensor: Tensor) -> Tensor:
        """Le tenseur complet ; tous les processus doivent le demander ensemble."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def place(self, value: Tensor, like: Tensor) -> Tensor:
        """Le morceau de `value`, que tous ont en entier, qui va à la place de `like`."""
        if not isinstance(like, DTensor):
            return value
        value = value.to(like.device)
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)

    def build_optimizer(self, model: nn.Module, config: TrainingConfig):
        """AdamW, sans compilation. ValueError pour le reste, que l’on n’a pas éprouvé."""
        if config.optimizer != "adamw":
            raise ValueError(
                f"optimizer = {config.optimizer} veut des matrices entières, et ce partage les "
                "coupe : prenez adamw, ou partagez les données (ddp)."
            )
        if config.compile:
            raise ValueError(
                "compile = True ne va pas avec des poids répartis : laissez compile à False, ou "
                "partagez les données (ddp)."
            )
        return build_optimizer(model, config)

    @torch.no_grad()
    def clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> None:
        """Ramène la norme du gradient complet à `max_norm` : les carrés des morceaux s’ajoutent."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        shards = [gradient.to_local() for gradient in gradients if is_sharded(gradient)]
        copies = [
            gradient.to_local() if isinstance(gradient, DTensor) else gradient
            for gradient in gradients
            if not is_sharded(gradient)
        ]
        squares = self.total(_sum_of_squares(shards)) + _sum_of_squares(copies)
        scale = (max_norm / (squares.sqrt() + 1e-6)).clamp(max=1.0).item()
        torch._foreach_mul_(shards + copies, scale)

    @torch.no_grad()
    def whole_model(self, model: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
        """Un modèle neuf de `make()`, complet chez tous, qui reçoit les morceaux réunis."""
        complete = make().to(device_of(model)).train(model.training)
        pieces = named_tensors(model)
        for name, tensor in named_tensors(complete).items():
            tensor.copy_(self.whole(pieces[name]))
        return complete


def is_sharded(tensor: Tensor) -> bool:
    """Vrai si chaque processus ne tient qu’un morceau du tenseur."""
    return isinstance(tensor, DTensor) and any(place.is_shard() for place in tensor.placements)


def _sum_of_squares(tensors: Sequence[Tensor]) -> float:
    if not tensors:
        return 0.0
    return torch.stack(torch._foreach_norm(tensors)).double().square().sum().item()


def line_of_workers(model: nn.Module) -> DeviceMesh:
    """La grille des processus, à une dimension : tous sur une ligne, sur l’appareil du modèle."""
    return init_device_mesh(device_of(model).type, (dist.get_world_size(),))
