"""Où mettre les bits : ce que coûterait d’arrondir chaque matrice, puis un format pour chacune.

Arrondir une matrice écarte le modèle de lui-même. Au second ordre, la divergence entre ses deux
distributions vaut, en nats par jeton,

    ½ Σ_r γ_r δ_r H δ_rᵀ        δ = W − Q, ligne à ligne

H : le moment des entrées de la matrice ; γ_r : le carré moyen du gradient de sa sortie r, pour la
surprise d’un jeton tiré selon le modèle (l’information de Fisher). On néglige ce qui lie deux
sorties, ou deux matrices. Pour les embeddings liés, γ_r est la fréquence du jeton, et H la somme de
deux moments (`embedding_moment`). Q est l’arrondi au plus proche : l’arrondi calibré fait mieux,
mais à peu près d’autant partout, et c’est un classement que l’on cherche.
Formes : W (R, D), H (D, D), γ (R,).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from course_lib.distillation.progress import teacher_bar
from course_lib.pretrained.gguf.blocks import BLOCKS
from course_lib.rounding.calibration import (
    EMBEDDING,
    check_texts,
    chosen_kinds,
    drawn_surprise,
    embedding_moment,
)
from course_lib.rounding.grids import find_grid, lay, nearest
from course_lib.transformer import Decoder, evaluating
from course_lib.transformer.plain import plain_model


def round_to_nearest(w: Tensor, hessian: Tensor, kind: str) -> Tensor:
    """W arrondie au plus proche, (R, D) : la grille se choisit, rien ne se compense."""
    grid, weights, parts = find_grid(kind), hessian.diagonal(), []
    for start in range(0, w.shape[1], grid.block):
        block = w[:, start : start + grid.block]
        steps = lay(grid, block, weights[start : start + grid.block])
        levels = [
            nearest(grid, group, *steps.of(k)) for k, group in enumerate(block.split(grid.group, 1))
        ]
        parts.append(steps.values(torch.cat(levels, 1)))
    return torch.cat(parts, 1)


def rounding_costs(
    model: Decoder,
    texts: Tensor,
    kinds: Sequence[str],
    *,
    batch_size: int = 4,
    progress: bool = True,
) -> dict[str, dict[str, float]]:
    """{nom du poids: {format: nats par jeton}}, ce que coûterait d’arrondir chaque matrice seule.

    `texts` (n, T) : des identifiants ; quelques milliers de jetons suffisent. ValueError comme
    `round_model`.
    """
    for kind in kinds:
        names = chosen_kinds(model, kind)
    check_texts(model, texts)
    model, batches = plain_model(model), texts.split(batch_size)
    n_steps = len(batches) + len(names)
    with (
        evaluating(model),
        teacher_bar("Sensibilité des matrices", n_steps, progress) as bar,
    ):
        moments, slopes = _fisher(model, batches, bar)
        if EMBEDDING in names:
            moments[EMBEDDING] = embedding_moment(model, batches)
            counts = torch.bincount(texts.flatten(), minlength=len(model.embedding.tokens.weight))
            slopes[EMBEDDING] = counts / texts.numel()
        costs = {}
        for name in names:
            costs[name] = {
                kind: _cost(model.get_parameter(name).detach(), moments[name], slopes[name], kind)
                for kind in kinds
            }
            bar.update()
    return costs


def _cost(w: Tensor, moment: Tensor, slopes: Tensor, kind: str) -> float:
    errors = w - round_to_nearest(w, moment, kind)
    return float(((errors @ moment * errors).sum(1) * slopes).sum() / 2)


def _fisher(
    model: Decoder, batches: Sequence[Tensor], bar
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """H et γ de chaque couche linéaire, par jeton."""
    layers = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    moments, slopes = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0)

    def listener(name: str):
        def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = inputs[0].detach().flatten(0, -2)
            moments[name] = moments[name] + x.T @ x
            output.register_hook(learn)

        def learn(gradient: Tensor) -> None:
            slopes[name] = slopes[name] + gradient.flatten(0, -2).square().sum(0)

        return keep

    handles = [layer.register_forward_hook(listener(name)) for name, layer in layers.items()]
    generator = torch.Generator().manual_seed(0)
    try:
        for batch in batches:
            read = model.embedding.tokens(batch).detach().requires_grad_()
            torch.autograd.grad(drawn_surprise(model, read, generator), read)
            bar.update()
    finally:
        for handle in handles:
            handle.remove()
    n_tokens = sum(batch.numel() for batch in batches)
    return (
        {name: moment / n_tokens for name, moment in moments.items()},
        {name: slope / n_tokens for name, slope in slopes.items()},
    )


def share_kinds(
    costs: Mapping[str, Mapping[str, float]], sizes: Mapping[str, int], n_bytes: int
) -> dict[str, str]:
    """Un format pour chaque matrice, en `n_bytes` octets au plus, pour un coût total bas.

    `sizes` : {nom: nombre de poids}. On part du format le plus large, et l’on resserre d’abord les
    matrices où un octet gagné coûte le moins ; à la fin, les octets de reste reviennent à celles où
    ils servent le plus. ValueError si même le format le plus étroit ne tient pas.
    """
    kinds = sorted(next(iter(costs.values())), key=lambda kind: -_bits(kind))
    chosen = dict.fromkeys(costs, kinds[0])

    def weight(name: str, kind: str) -> float:
        return sizes[name] * _bits(kind) / 8

    def price(name: str, kind: str) -> float:
        """Nats perdus par octet gagné, du format choisi à celui-ci."""
        lost = costs[name][kind] - costs[name][chosen[name]]
        return lost / (weight(name, chosen[name]) - weight(name, kind))

    excess = sum(weight(name, kinds[0]) for name in costs) - n_bytes
    while excess > 0:
        moves = [
            (price(name, kind), name, kind)
            for name in costs
            for kind in kinds
            if _bits(kind) < _bits(chosen[name])
        ]
        if not moves:
            raise ValueError(
                f"{n_bytes} octets ne suffisent pas : il en manque {excess:.0f}, tout en "
                f"{kinds[-1]}. Ajoutez un format plus étroit, ou des octets."
            )
        _, name, kind = min(moves)
        excess -= weight(name, chosen[name]) - weight(name, kind)
        chosen[name] = kind
    for name in sorted(costs, key=lambda name: costs[name][chosen[name]], reverse=True):
        for kind in kinds:
            more = weight(name, kind) - weight(name, chosen[name])
            if 0 < more <= -excess:
                excess, chosen[name] = excess + more, kind
    return chosen


def _bits(kind: str) -> float:
    """Bits par poids d’un format."""
    return 8 * BLOCKS[kind].n_bytes / BLOCKS[kind].n_values
