"""Données et modèle partagés : chaque processus ne garde que 1/n des poids et des moments.

Avant de traverser un étage, chacun réunit ses poids (all-gather) ; après, il oublie ce qui n’est
pas à lui. Au retour, la somme des gradients est aussitôt découpée (reduce-scatter) : chacun n’en
reçoit que sa part et ne fait avancer que ses poids. C’est le FSDP de PyTorch (`fully_shard`), et
l’étage 3 de ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054, §5 et 7).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from course_lib.parallel.shards import ShardedTeam, line_of_workers
from course_lib.parallel.team import loss_share
from course_lib.training.workers import Share, scale_gradients
from course_lib.transformer.blocks import Block
from course_lib.transformer.experts import MixtureOfExperts

_ENTRANCES = ("hidden", "encode", "decode")  # les façons d’entrer dans un modèle, hors `forward`


class FullySharded(ShardedTeam):
    """Le modèle est découpé bloc par bloc ; chaque processus traite sa part de chaque lot."""

    def prepare(self, model: nn.Module) -> None:
        """Découpe le modèle en place. ValueError s’il contient un mélange d’experts."""
        if any(isinstance(module, MixtureOfExperts) for module in model.modules()):
            raise ValueError(
                "Ce modèle a des experts : un expert que nul jeton d’un processus n’a choisi n’y a "
                "pas de gradient, et fully_shard attend le même nombre de gradients partout. "
                "Choisissez les données partagées (ddp)."
            )
        super().prepare(model)
        mesh = line_of_workers(model)
        for block in [module for module in model.modules() if isinstance(module, Block)]:
            fully_shard(block, mesh=mesh)
        # Les embeddings servent à l’entrée et, liés à la tête, à la sortie : ils restent entiers
        # entre les deux.
        fully_shard(model, mesh=mesh, reshard_after_forward=False)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # Une somme, et non une moyenne : la perte est déjà pesée par ses jetons.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        for name in _ENTRANCES:
            if hasattr(model, name):
                register_fsdp_forward_method(model, name)

    def backward(
        self, parts: Sequence[Share], parameters: Sequence[nn.Parameter]
    ) -> tuple[Tensor, int]:
        """Comme pour les données partagées, mais chaque retour additionne déjà entre processus."""
        share, n_tokens = 0.0, 0
        for part in parts:
            loss, n = part()
            (loss * n).backward()  # même sans cible : les autres attendent le retour
            share, n_tokens = share + loss_share(loss, n), n_tokens + n
        n_total, loss_sum = self.total(n_tokens, share)
        divisor = max(n_total.item(), 1.0)
        scale_gradients(parameters, 1 / divisor)
        return loss_sum / divisor, int(n_total)
