"""Élaguer un décodeur : mesurer ce qui compte peu, puis l’enlever pour de bon.

Une tête ou un neurone retiré emporte ses lignes et ses colonnes : le modèle est plus petit et
calcule moins, sans format ni noyau particulier. Pour retirer des blocs entiers, voir
`course_lib.distillation.student_from_teacher`.

    têtes      lignes de query, key, value     colonnes de output
    neurones   lignes de gate et up            colonnes de down

Une même tête de clés sert tout un groupe de têtes de requêtes (Ainslie et al. 2023) : on retire des
groupes entiers. Pour qu’un modèle élagué s’enregistre, retirez-en autant à chaque étage, car une
seule configuration les décrit tous, et qu’il soit de type Llama : celle de GPT-2 ne sait pas écrire
une tête plus étroite que d_model / n_heads.
Formes : L étages, H têtes, Hkv têtes de clés, Dh dimension d’une tête, F neurones, B phrases.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from course_lib.training.devices import device_of, to_device
from course_lib.training.losses import Loss, check_some_targets, language_model_loss
from course_lib.transformer import Attention, Decoder, FeedForward, SwiGLU, evaluating

PRUNED_LAYERS = ("query", "key", "value", "output", "gate", "up", "down")


def head_importance(
    model: Decoder, batches: Iterable[tuple[Tensor, ...]], loss: Loss = language_model_loss
) -> Tensor:
    """Importance (L, H) de chaque tête, en nats par jeton : |∂ perte / ∂ ξ|, pris en ξ = 1.

    ξ multiplie la sortie de la tête : sa dérivée estime ce que coûterait de la faire taire. La
    valeur absolue est prise phrase par phrase, pour que les signes ne se compensent pas.
    Source : Michel et al. 2019, équation 2, sans leur normalisation par étage.
    ValueError s’il n’y a aucun lot, ou aucune cible dans ces lots.
    """
    layers = {i: block.self_attention.output for i, block in enumerate(model.blocks)}
    counts = [block.self_attention.n_heads for block in model.blocks]
    return _importance(model, layers, counts, batches, loss)


def neuron_importance(
    model: Decoder, batches: Iterable[tuple[Tensor, ...]], loss: Loss = language_model_loss
) -> Tensor:
    """Importance (L, F) de chaque neurone, mesurée comme celle des têtes."""
    layers = {i: block.feed_forward.down for i, block in enumerate(model.blocks)}
    counts = [layer.in_features for layer in layers.values()]
    return _importance(model, layers, counts, batches, loss)


def least_important_heads(model: Decoder, importance: Tensor, n_heads: int) -> dict[int, list[int]]:
    """Les `n_heads` têtes de moindre importance de chaque étage, par groupes : étage → têtes.

    `importance` (L, H) ; un groupe vaut la somme de ses têtes. ValueError si `n_heads` n’est pas un
    multiple de la taille d’un groupe, ou ne laisse aucune tête.
    """
    chosen = {}
    for layer, (block, row) in enumerate(zip(model.blocks, importance, strict=True)):
        attention = block.self_attention
        size = attention.n_heads // attention.n_kv_heads
        if n_heads % size or not 0 <= n_heads < attention.n_heads:
            raise ValueError(
                f"n_heads = {n_heads} : l’étage {layer} a {attention.n_heads} têtes par groupes de "
                f"{size} ; il faut un multiple de {size}, et en laisser un groupe."
            )
        groups = row.unflatten(0, (-1, size)).sum(dim=1).argsort()[: n_heads // size]
        chosen[layer] = sorted(g * size + i for g in groups.tolist() for i in range(size))
    return chosen


def prune_heads(model: Decoder, heads: Mapping[int, Sequence[int]]) -> None:
    """Retire des têtes, étage → numéros ; le modèle est modifié sur place.

    Ses sorties sont celles du modèle où ces têtes rendraient zéro. ValueError, avant toute
    modification, si un étage ou une tête n’existe pas, si un groupe n’est pas entier, s’il ne
    reste aucune tête, ou si des couches portent des adaptateurs.
    """
    plans = {layer: _kept_groups(model, layer, set(chosen)) for layer, chosen in heads.items()}
    for layer, groups in plans.items():
        attention = model.blocks[layer].self_attention
        size = attention.n_heads // attention.n_kv_heads
        queries = [group * size + i for group in groups for i in range(size)]
        query_rows = _rows_of(queries, attention.head_dim)
        key_rows = _rows_of(groups, attention.head_dim)
        _keep(attention.query, query_rows, dim=0)
        _keep(attention.key, key_rows, dim=0)
        _keep(attention.value, key_rows, dim=0)
        _keep(attention.output, query_rows, dim=1)
        attention.n_heads, attention.n_kv_heads = len(queries), len(groups)


def prune_neurons(model: Decoder, fraction: float, importance: Tensor | None = None) -> None:
    """Retire à chaque étage cette part des neurones, les moins importants, sur place.

    `importance` (L, F), celle de `neuron_importance` ; par défaut, le produit des normes des
    poids du neurone (entrées, porte s’il en a une, sortie). ValueError si `fraction` n’est pas dans
    [0, 1[, si les formes ne s’accordent pas, ou si un étage n’est ni SwiGLU ni FeedForward.
    """
    if not 0.0 <= fraction < 1.0:
        raise ValueError(f"fraction = {fraction} : il faut une part des neurones, dans [0, 1[.")
    networks = [block.feed_forward for block in model.blocks]
    for network in networks:
        if not isinstance(network, SwiGLU | FeedForward):
            raise ValueError(
                f"Un {type(network).__name__} n’a pas de neurones à retirer : il faut SwiGLU ou "
                "FeedForward."
            )
        _check_plain(network)
    scores = [_weight_norms(n) for n in networks] if importance is None else list(importance)
    sizes = [network.down.in_features for network in networks]
    if [len(score) for score in scores] != sizes:
        raise ValueError(
            f"importance a les longueurs {[len(score) for score in scores]} : il en faut une par "
            f"neurone de chaque étage, {sizes}."
        )
    for network, score in zip(networks, scores, strict=True):
        n_kept = max(1, len(score) - round(fraction * len(score)))
        rows = score.topk(n_kept).indices.sort().values
        for name in ("gate", "up"):
            if hasattr(network, name):
                _keep(getattr(network, name), rows, dim=0)
        _keep(network.down, rows, dim=1)


@contextmanager
def _scaled_inputs(layers: Mapping[int, nn.Linear], scales: Mapping[int, Tensor]) -> Iterator[None]:
    """Multiplie l’entrée (B, T, n × d) de chaque couche par n facteurs, un par tranche de d."""

    def multiply(scale: Tensor) -> Callable:
        def hook(module, args):
            parts = args[0].unflatten(-1, (scale.shape[-1], -1))  # (B, T, n, d)
            factors = scale[..., None, :, None]  # (B, 1, n, 1) ou (1, n, 1)
            return ((parts * factors).flatten(-2).to(args[0].dtype),)

        return hook

    with ExitStack() as hooks:
        for i, scale in scales.items():
            hooks.enter_context(layers[i].register_forward_pre_hook(multiply(scale)))
        yield


def _importance(
    model: Decoder,
    layers: Mapping[int, nn.Linear],
    counts: Sequence[int],
    batches: Iterable[tuple[Tensor, ...]],
    loss: Loss,
) -> Tensor:
    """|∂ perte / ∂ facteur| de chaque tranche, phrase par phrase, ramené à un jeton : (L, n)."""
    totals, n_tokens, device = None, 0, device_of(model)
    with evaluating(model), torch.enable_grad():
        for batch in batches:
            n_rows = len(batch[0])
            scales = {
                i: torch.ones(n_rows, n, device=device, requires_grad=True)
                for i, n in enumerate(counts)
            }
            with _scaled_inputs(layers, scales):
                mean, n = loss(model, to_device(batch, model))
                slopes = torch.autograd.grad(mean * n, list(scales.values()))  # L × (B, n)
            sums = [slope.abs().sum(dim=0) for slope in slopes]
            totals = sums if totals is None else [a + b for a, b in zip(totals, sums, strict=True)]
            n_tokens += n
    if totals is None:
        raise ValueError("Aucun lot : donnez au moins un lot sur lequel mesurer l’importance.")
    check_some_targets(n_tokens)
    return torch.stack(totals) / n_tokens


def _kept_groups(model: Decoder, layer: int, heads: set[int]) -> list[int]:
    """Les groupes de têtes qui restent à un étage, une fois vérifié ce qu’on en retire."""
    n_layers = len(model.blocks)
    if not 0 <= layer < n_layers:
        raise ValueError(f"L’étage {layer} n’existe pas : ils vont de 0 à {n_layers - 1}.")
    attention: Attention = model.blocks[layer].self_attention
    _check_plain(attention)
    if heads - set(range(attention.n_heads)):
        raise ValueError(
            f"Étage {layer} : les têtes {sorted(heads)} ne sont pas toutes entre 0 et "
            f"{attention.n_heads - 1}."
        )
    size = attention.n_heads // attention.n_kv_heads
    groups = {head // size for head in heads}
    if len(groups) * size != len(heads):
        raise ValueError(
            f"Étage {layer} : les têtes {sorted(heads)} ne forment pas des groupes entiers. Une "
            f"tête de clés y sert {size} têtes de requêtes qui se suivent : retirez-les ensemble."
        )
    if len(groups) == attention.n_kv_heads:
        raise ValueError(
            f"Étage {layer} : il n’y resterait aucune tête. Gardez-en une, ou retirez le bloc "
            "entier (student_from_teacher)."
        )
    return [group for group in range(attention.n_kv_heads) if group not in groups]


def _check_plain(module: nn.Module) -> None:
    for name, layer in module.named_children():
        if name in PRUNED_LAYERS and not isinstance(layer, nn.Linear):
            raise ValueError(
                f"« {name} » est un {type(layer).__name__} : on n’élague que des nn.Linear. "
                "Retirez les adaptateurs (detach_adapters), ou élaguez avant de quantifier."
            )


def _rows_of(heads: Sequence[int], head_dim: int) -> Tensor:
    """Les lignes (n × Dh,) que ces têtes occupent dans une projection."""
    return (torch.tensor(heads)[:, None] * head_dim + torch.arange(head_dim)).flatten()


def _weight_norms(network: SwiGLU | FeedForward) -> Tensor:
    """Le produit des normes des poids de chaque neurone, (F,)."""
    product = network.down.weight.detach().norm(dim=0)
    for name in ("gate", "up"):
        if hasattr(network, name):
            product = product * getattr(network, name).weight.detach().norm(dim=1)
    return product


def _keep(linear: nn.Linear, indices: Tensor, dim: int) -> None:
    """Ne garde que ces lignes (dim = 0) ou ces colonnes (dim = 1) d’une couche, sur place."""
    linear.weight = _selected(linear.weight, indices, dim)
    linear.out_features, linear.in_features = linear.weight.shape
    if dim == 0 and linear.bias is not None:
        linear.bias = _selected(linear.bias, indices, dim)


def _selected(parameter: nn.Parameter, indices: Tensor, dim: int) -> nn.Parameter:
    values = parameter.detach().index_select(dim, indices.to(parameter.device))
    return nn.Parameter(values, requires_grad=parameter.requires_grad)
