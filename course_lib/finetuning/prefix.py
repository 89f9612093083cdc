"""Le préfixe appris : des clés et des valeurs que chaque étage lit avant le texte.

    clés       p₁ … p_P  |  k₁ … k_T        chaque jeton lit tout le préfixe, puis son passé
    valeurs    q₁ … q_P  |  v₁ … v_T

L’amorce apprise (`soft_prompt`) n’entre qu’en bas du modèle ; le préfixe agit à tous les étages. Il
n’occupe pas de place dans le contexte : les jetons gardent leurs positions. Le modèle est gelé. On
omet le petit réseau par lequel les auteurs calculent le préfixe pendant l’entraînement. Source :
Li et Liang 2021. Formes : P jetons de préfixe, T jetons, Hkv têtes de clés, Dh leur dimension.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.finetuning.layers import Wrapper, freeze_base, replace_module, restore_base
from course_lib.transformer import Attention, Decoder, KVCache, causal_mask, evaluating
from course_lib.transformer.positions import rotate


class _PrefixedCache(KVCache):
    """Rend le préfixe devant ce que rend la mémoire cache du texte, s’il y en a une."""

    def __init__(self, prefix: tuple[Tensor, Tensor], cache: KVCache | None):
        self.prefix, self.cache = prefix, cache
        self.length = 0 if cache is None else cache.length

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k et v (B, Hkv, T, Dh) → (B, Hkv, P + S, Dh), S = positions écrites jusqu’ici."""
        texts = (k, v) if self.cache is None else self.cache.append(k, v)
        pairs = zip(self.prefix, texts, strict=True)
        return tuple(torch.cat((p.expand(len(t), -1, -1, -1), t), dim=2) for p, t in pairs)


class PrefixedAttention(Wrapper):
    """Une attention gelée et son préfixe, deux tenseurs appris (1, Hkv, P, Dh)."""

    def __init__(self, base: Attention, keys: Tensor, values: Tensor):
        super().__init__(base)
        self.n_heads, self.n_kv_heads = base.n_heads, base.n_kv_heads
        self.head_dim = base.head_dim
        self.adapters = nn.ParameterDict({"prefix_keys": keys, "prefix_values": values})

    @property
    def prefix(self) -> tuple[Tensor, Tensor]:
        """Les clés et les valeurs apprises."""
        return self.adapters["prefix_keys"], self.adapters["prefix_values"]

    def forward(self, x: Tensor, *, mask=None, is_causal=False, cache=None, **options):
        """Comme `Attention` : x (B, T, D) → (B, T, D) ; personne n’est privé du préfixe."""
        n_queries = x.shape[1]
        if is_causal:
            n_keys = n_queries + (0 if cache is None else cache.length)
            causal = causal_mask(n_queries, n_keys, x.device)
            mask = causal if mask is None else mask & causal
        if mask is not None:
            mask = F.pad(mask, (self.prefix[0].shape[2], 0), value=True)  # (…, Tq, P + Tk)
        prefixed = _PrefixedCache(self.prefix, cache)
        return self.base(x, mask=mask, cache=prefixed, **options)

    def unwrapped(self) -> nn.Module:
        """Toujours ValueError : le préfixe n’est pas un poids du modèle."""
        raise ValueError(
            "Un préfixe appris ne se fond pas dans les poids : un modèle ordinaire ne peut pas "
            "l’avoir. Retirez-le (detach_prefix), ou affinez avec LoRA (attach_lora)."
        )


def _prefixed(model: nn.Module) -> dict[str, PrefixedAttention]:
    return {n: m for n, m in model.named_modules() if isinstance(m, PrefixedAttention)}


def attach_prefix(model: Decoder, n_tokens: int = 16, seed: int = 0) -> list[str]:
    """Gèle le modèle et donne à chaque étage un préfixe appris ; rend les noms des attentions.

    Au départ, le préfixe est ce que le modèle garde de `n_tokens` vrais jetons tirés au sort : les
    auteurs montrent (§7.4) que cela vaut mieux que du hasard. ValueError si `n_tokens` n’est pas
    positif, s’il n’est pas inférieur au contexte, ou si un préfixe est déjà posé.
    """
    if _prefixed(model):
        raise ValueError("Un préfixe appris est déjà posé : retirez-le (detach_prefix).")
    if type(n_tokens) is not int or not 1 <= n_tokens < model.embedding.context_length:
        raise ValueError(
            f"n_tokens = {n_tokens!r} : il en faut au moins 1 (un entier), et moins que le "
            f"contexte ({model.embedding.context_length})."
        )
    freeze_base(model)
    start = _read_random_tokens(model, n_tokens, seed)
    chosen = {n: m for n, m in model.named_modules() if n.endswith(".self_attention")}
    for (path, attention), (keys, values) in zip(chosen.items(), start, strict=True):
        prefixed = PrefixedAttention(attention, keys, values).train(model.training)
        replace_module(model, path, prefixed)
    return list(chosen)


def detach_prefix(model: Decoder) -> list[tuple[Tensor, Tensor]]:
    """Retire le préfixe ; rend clés et valeurs de chaque étage. ValueError s’il n’y en a pas."""
    found = _prefixed(model)
    if not found:
        raise ValueError("Ce modèle n’a pas de préfixe appris.")
    for path, attention in found.items():
        replace_module(model, path, attention.base)
    restore_base(model)
    return [tuple(t.detach() for t in attention.prefix) for attention in found.values()]


@torch.no_grad()
def _read_random_tokens(model: Decoder, n_tokens: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Les clés et les valeurs de chaque étage, lues aux positions −P … −1, devant le texte."""
    embedding = model.embedding.tokens
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(embedding.num_embeddings, (1, n_tokens), generator=draw)
    cache = model.new_cache(1, n_tokens)
    with evaluating(model):
        model.hidden(ids.to(embedding.weight.device), cache=cache)
    pairs = [block.self_attention.read() for block in cache.blocks]
    if model.rope is not None:
        cos, sin = model.rope(torch.tensor([n_tokens], device=embedding.weight.device))
        pairs = [(rotate(keys, (cos, -sin)), values) for keys, values in pairs]  # P en arrière
    return [(nn.Parameter(keys), nn.Parameter(values)) for keys, values in pairs]
