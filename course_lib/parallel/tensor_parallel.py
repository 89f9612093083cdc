"""Matrices partagées : tous lisent le même lot, chacun calcule une part de chaque couche.

La première matrice d’une sous-couche est coupée par colonnes, la dernière par lignes :

        x ──┬── têtes 0 et 1 ──┐             x ──┬── première moitié de d_ff ──┐
            │                  + → y             │                             + → y
            └── têtes 2 et 3 ──┘                 └── seconde moitié ───────────┘

Rien ne s’échange entre les deux ; une seule somme à la sortie, et une seule au retour, à l’entrée
(Shoeybi et al. 2019, arXiv:1909.08053, §3). Embeddings, normes et tête sont chez tous.
"""

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)

from course_lib.parallel.shards import ShardedTeam, line_of_workers
from course_lib.training import TrainingConfig
from course_lib.transformer.attention import Attention
from course_lib.transformer.blocks import Block, FeedForward, SwiGLU

# Les matrices coupées par colonnes, puis celle qui l’est par lignes.
_SPLITS = {
    Attention: (("query", "key", "value"), "output"),
    FeedForward: (("up",), "down"),
    SwiGLU: (("gate", "up"), "down"),
}
_SUBLAYERS = {"self_attention": 1, "cross_attention": 2, "feed_forward": 1}  # nombre d’entrées


def split_block(block: Block, mesh) -> Block:
    """Répartit en place les têtes et le réseau d’un bloc entre les processus de `mesh`.

    ValueError si têtes ou d_ff ne se partagent pas en parts égales, si le réseau est un mélange
    d’experts, si l’attention a un dropout (ses tirages seraient les mêmes dans chaque part), ou si
    ses têtes ont des normes.
    """
    plan = {}
    for name, n_inputs in _SUBLAYERS.items():
        sublayer = getattr(block, name)
        if sublayer is None:
            continue
        _check_division(sublayer, mesh.size())
        entries = (Replicate(),) * n_inputs
        plan[name] = PrepareModuleInput(input_layouts=entries, desired_input_layouts=entries)
        columns, row = _SPLITS[type(sublayer)]
        plan |= {f"{name}.{column}": ColwiseParallel() for column in columns}
        plan[f"{name}.{row}"] = RowwiseParallel()
    return parallelize_module(block, mesh, plan)


def _check_division(sublayer: nn.Module, n_workers: int) -> None:
    if type(sublayer) not in _SPLITS:
        raise ValueError(
            f"Un réseau {type(sublayer).__name__} ne sait pas se couper en matrices : "
            "employez FeedForward ou SwiGLU, ou partagez les données (ddp)."
        )
    if isinstance(sublayer, Attention):
        sizes = {"n_heads": sublayer.n_heads, "n_kv_heads": sublayer.n_kv_heads}
        if sublayer.dropout > 0:
            raise ValueError(
                f"L’attention a un dropout de {sublayer.dropout} : chaque processus tirerait le "
                "même pour ses têtes. Mettez dropout=0, ou partagez les données (ddp)."
            )
        if sublayer.query_norm is not None:
            raise ValueError(
                "Les têtes de cette attention ont des normes communes (qk_norm) : chaque processus "
                "n’en aurait le gradient que pour les siennes. Partagez les données (ddp)."
            )
    else:
        sizes = {"d_ff": sublayer.up.out_features}
    for name, size in sizes.items():
        if size % n_workers != 0:
            raise ValueError(
                f"{name} = {size} ne se partage pas entre {n_workers} processus : "
                f"choisissez un multiple de {n_workers}."
            )


class TensorParallel(ShardedTeam):
    """Chaque processus a une part des têtes et des réseaux, et lit tout le lot."""

    def prepare(self, model: nn.Module) -> None:
        """Répartit en place tous les blocs. ValueError s’il n’y en a pas ou s’ils s’y refusent."""
        blocks = [module for module in model.modules() if isinstance(module, Block)]
        if not blocks:
            raise ValueError(
                f"{type(model).__name__} n’a aucun bloc de Transformer à répartir : "
                "partagez plutôt les données (ddp)."
            )
        super().prepare(model)
        mesh = line_of_workers(model)
        for block in blocks:
            split_block(block, mesh)

    def build_optimizer(self, model: nn.Module, config: TrainingConfig):
        """Le même AdamW ; poids répartis et poids entiers n’avancent pas dans le même appel."""
        optimizer = super().build_optimizer(model, config)
        optimizer.param_groups[:] = [
            {**group, "params": part}
            for group in optimizer.param_groups
            for shared in (True, False)
            if (part := [p for p in group["params"] if isinstance(p, DTensor) == shared])
        ]
        return optimizer

    def seed(self, seed: int) -> int:
        """Tous traitent les mêmes lignes : ils tirent le même dropout."""
        return seed

    def batch(self, data, step: int) -> tuple[Tensor, ...]:
        """Le lot entier."""
        return data.batch(step)
