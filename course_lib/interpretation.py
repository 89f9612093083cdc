"""Ouvrir un Transformer : voir ce qu’il regarde, puis le vérifier en intervenant.

Une carte d’attention montre une corrélation. Pour savoir si le modèle *se sert* de ce qu’il
regarde, on coupe une lecture (`masked_edges`) ou l’on greffe le vecteur d’une autre phrase
(`patched_activations`) et l’on observe si la réponse change.

Tout passe par des crochets (« hooks ») de PyTorch, posés le temps d’un bloc `with` et toujours
retirés : le code du modèle n’en sait rien.
Formes : B phrases, H têtes, Tq requêtes, Tk clés, T jetons, D = d_model.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from course_lib.transformer.attention import Attention
from course_lib.transformer.models import Decoder, Encoder, EncoderDecoder
from course_lib.transformer.recording import recorded_weights

Edges = Tensor | Sequence[tuple[int, int]]


def attention_layers(model: nn.Module) -> dict[str, list[Attention]]:
    """Les attentions du modèle, étage par étage, rangées par sorte.

    Sortes : "encoder" (la source se lit), "decoder" (la cible se lit), "cross" (la cible lit la
    source). Une sorte absente du modèle est absente du dictionnaire.
    """
    layers: dict[str, list[Attention]] = {}
    for stack in (model.encoder, model.decoder) if isinstance(model, EncoderDecoder) else (model,):
        if not isinstance(stack, Encoder | Decoder):
            raise TypeError(
                f"Je ne sais pas ouvrir un {type(model).__name__} : donnez un Encoder, un Decoder "
                "ou un EncoderDecoder de course_lib.transformer."
            )
        kind = "encoder" if isinstance(stack, Encoder) else "decoder"
        layers[kind] = [block.self_attention for block in stack.blocks]
        cross = [b.cross_attention for b in stack.blocks if b.cross_attention is not None]
        if cross:
            layers["cross"] = cross
    return layers


@contextmanager
def recorded_attention(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Recueille les poids d’attention de la prochaine passe dans le dictionnaire rendu."""
    maps: dict[str, list[Tensor]] = {kind: [] for kind in attention_layers(model)}

    with ExitStack() as recorders:
        for kind, attentions in attention_layers(model).items():
            for attention in attentions:
                keep = functools.partial(_keep_detached, maps[kind])
                recorders.enter_context(recorded_weights(attention, keep))
        yield maps


def _keep_detached(kept: list[Tensor], weights: Tensor) -> None:
    kept.append(weights.detach())


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs, **options) -> dict[str, list[Tensor]]:
    """Poids d’attention de `model(*inputs, **options)` : par sorte, un (B, H, Tq, Tk) par étage.

    Sortes : "encoder", "decoder", "cross", selon ce que le modèle possède. Le modèle est consulté
    dans son état : appelez `model.eval()` d’abord pour éteindre le dropout.
    """
    with recorded_attention(model) as maps:
        model(*inputs, **options)
    return maps


@contextmanager
def masked_edges(
    model: nn.Module,
    edges: Edges,
    *,
    kind: str = "self",
    layers: Iterable[int] | None = None,
    heads: Iterable[int] | None = None,
) -> Iterator[None]:
    """Interdit des lectures « requête → clé » ; les autres poids de la ligne se renormalisent.

    `edges` : liste de couples (requête, clé), valables pour tout le lot, ou masque booléen
    (Tq, Tk) ou (B, Tq, Tk), True = interdit. `kind` : "encoder", "decoder", "cross", ou "self"
    pour la seule attention propre du modèle. `layers`, `heads` : numéros visés, tous par défaut.
    Erreurs : ValueError si la sorte, un étage, une tête ou un couple n’existe pas.
    """
    attentions = _choose(model, kind, layers)

    def forbid(module, args, kwargs):
        n_keys = _n_keys(args, kwargs)
        forbidden = _edge_mask(edges, args[0].shape[1], n_keys).to(args[0].device)
        allowed = ~forbidden.unsqueeze(-3)  # ([B,] 1, Tq, Tk)
        if heads is not None:
            allowed = allowed | ~_head_mask(heads, module.n_heads).to(allowed.device)
        mask = kwargs.get("mask")
        return args, {**kwargs, "mask": allowed if mask is None else mask & allowed}

    with ExitStack() as hooks:
        for attention in attentions:
            hooks.enter_context(attention.register_forward_pre_hook(forbid, with_kwargs=True))
        yield


@contextmanager
def record_activations(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Recueille la sortie des modules nommés (« encoder », « blocks.0.feed_forward »…).

    Le dictionnaire rendu se remplit à chaque passe ; `patched_activations` sait le relire.
    """
    activations: dict[str, Tensor] = {}

    def keep(name):
        def hook(module, args, output):
            activations[name] = output.detach()

        return hook

    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(_submodule(model, name).register_forward_hook(keep(name)))
        yield activations


@contextmanager
def patched_activations(
    model: nn.Module,
    activations: dict[str, Tensor],
    positions: Sequence[int] | Tensor | None = None,
) -> Iterator[None]:
    """Remplace la sortie de modules par celle d’une autre passe, aux positions choisies.

    `activations` : nom du module → sortie (B, T, D) de remplacement. `positions` : liste d’entiers
    (les mêmes pour tout le lot), masque booléen (B, T), ou None pour tout remplacer.
    Erreurs : ValueError si un nom est inconnu, ou si une forme ou une position ne convient pas.
    """

    def graft(name, donor):
        def hook(module, args, output):
            if donor.shape != output.shape:
                raise ValueError(
                    f"La greffe de « {name} » a la forme {tuple(donor.shape)} et la sortie "
                    f"{tuple(output.shape)} : les deux phrases doivent avoir la même longueur."
                )
            chosen = _position_mask(positions, output.shape[1]).to(output.device)
            return torch.where(chosen.unsqueeze(-1), donor, output)

        return hook

    with ExitStack() as hooks:
        for name, donor in activations.items():
            module = _submodule(model, name)
            hooks.enter_context(module.register_forward_hook(graft(name, donor)))
        yield


def at_positions(positions: Sequence[int] | Tensor, length: int) -> Tensor:
    """Masque (B, T) qui désigne une position par phrase : `positions[b]` dans la phrase b."""
    return torch.as_tensor(positions)[:, None] == torch.arange(length)


def _choose(model: nn.Module, kind: str, layers: Iterable[int] | None) -> list[Attention]:
    by_kind = attention_layers(model)
    if kind == "self" and not isinstance(model, EncoderDecoder):
        kind = next(iter(by_kind))
    if kind not in by_kind:
        raise ValueError(
            f"kind = {kind!r} ne désigne pas une attention de ce modèle : "
            f"choisissez parmi {', '.join(by_kind)}."
        )
    attentions = by_kind[kind]
    chosen = range(len(attentions)) if layers is None else list(layers)
    _check_range("L’étage", chosen, len(attentions))
    return [attentions[i] for i in chosen]


def _n_keys(args: tuple, kwargs: dict) -> int:
    """Nombre de clés qu’une attention va lire, mémoire cache comprise."""
    memory = args[1] if len(args) > 1 else kwargs.get("memory")
    if memory is not None:
        return memory.shape[1]
    cache = kwargs.get("cache")
    return args[0].shape[1] + (cache.length if cache is not None else 0)


def _edge_mask(edges: Edges, n_queries: int, n_keys: int) -> Tensor:
    """Les lectures interdites, en masque ([B,] Tq, Tk)."""
    if isinstance(edges, Tensor):
        if edges.shape[-2:] != (n_queries, n_keys):
            raise ValueError(
                f"Le masque des lectures interdites a la forme {tuple(edges.shape)} ; il faut "
                f"finir par ({n_queries}, {n_keys}) : une ligne par requête, une colonne par clé."
            )
        return edges
    mask = torch.zeros(n_queries, n_keys, dtype=torch.bool)
    for query, key in edges:
        _check_range("La requête", [query], n_queries)
        _check_range("La clé", [key], n_keys)
        mask[query, key] = True
    return mask


def _head_mask(heads: Iterable[int], n_heads: int) -> Tensor:
    """Vrai sur les têtes visées, (H, 1, 1)."""
    heads = list(heads)
    _check_range("La tête", heads, n_heads)
    mask = torch.zeros(n_heads, 1, 1, dtype=torch.bool)
    mask[heads] = True
    return mask


def _position_mask(positions: Sequence[int] | Tensor | None, length: int) -> Tensor:
    """Les positions à remplacer, en masque (T,) ou (B, T)."""
    if positions is None:
        return torch.ones(length, dtype=torch.bool)
    if isinstance(positions, Tensor) and positions.dtype == torch.bool:
        return positions
    positions = [int(position) for position in positions]
    _check_range("La position", positions, length)
    mask = torch.zeros(length, dtype=torch.bool)
    mask[positions] = True
    return mask


def _check_range(what: str, numbers: Iterable[int], size: int) -> None:
    for number in numbers:
        if not 0 <= number < size:
            raise ValueError(f"{what} {number} n’existe pas : les numéros vont de 0 à {size - 1}.")


def _submodule(model: nn.Module, name: str) -> nn.Module:
    modules = dict(model.named_modules())
    if name not in modules:
        blocks = [known for known in modules if known.count(".") <= 2 and known]
        raise ValueError(
            f"Le modèle n’a pas de module « {name} » ; il a par exemple : {', '.join(blocks[:8])}."
        )
    return modules[name]
