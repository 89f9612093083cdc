"""L’amorce apprise : quelques jetons qui n’existent dans aucun vocabulaire, et que l’on entraîne.

Devant chaque texte, on pose P vecteurs libres. Le modèle est gelé ; eux seuls s’entraînent,
P × D nombres. Ils ont des identifiants, ceux qui suivent le vocabulaire : un exemple commence par
eux, et rien d’autre ne change. Source : Lester et al. 2021. Formes : P jetons appris, D = d_model.
"""

import torch
from torch import Tensor, nn

from course_lib.finetuning.layers import Wrapper, freeze_base, restore_base
from course_lib.transformer import Decoder


class PromptedTokens(Wrapper):
    """La table des jetons, suivie de P lignes apprises."""

    def __init__(self, base: nn.Embedding, n_tokens: int, seed: int):
        super().__init__(base)
        self.num_embeddings = base.num_embeddings + n_tokens
        # Partir de vrais jetons tirés au sort vaut mieux que du hasard (Lester et al., §3.2).
        draw = torch.Generator().manual_seed(seed)
        rows = torch.randint(base.num_embeddings, (n_tokens,), generator=draw)
        start = base.weight.detach()[rows.to(base.weight.device)].clone()  # (P, D)
        self.adapters = nn.ParameterDict({"prompt": nn.Parameter(start)})

    @property
    def prompt(self) -> Tensor:
        """Les lignes apprises, (P, D)."""
        return self.adapters["prompt"]

    @property
    def embedding_dim(self) -> int:
        """La largeur d’une ligne, D."""
        return self.base.embedding_dim

    @property
    def weight(self) -> Tensor:
        """La table de la base : la tête lui reste liée."""
        return self.base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) → (B, T, D)."""
        known = self.base.num_embeddings
        is_prompt = (ids >= known)[..., None]  # (B, T, 1)
        base = self.base(ids.clamp(max=known - 1))
        return torch.where(is_prompt, self.prompt[(ids - known).clamp(min=0)], base)

    def unwrapped(self) -> nn.Module:
        """Toujours ValueError : ces jetons ne sont pas dans le vocabulaire."""
        raise ValueError(
            "Les jetons d’une amorce apprise ne sont dans aucun vocabulaire : un modèle ordinaire "
            "ne peut pas les avoir. Retirez-les (detach_soft_prompt), ou affinez avec LoRA "
            "(attach_lora)."
        )


def attach_soft_prompt(model: Decoder, n_tokens: int = 16, seed: int = 0) -> list[int]:
    """Gèle le modèle et lui donne `n_tokens` jetons appris ; rend leurs identifiants.

    À mettre au début de chaque consigne. ValueError si `n_tokens` n’est pas un entier
    positif, s’il ne laisse pas de place dans le contexte, ou si une amorce est déjà posée.
    """
    embedding = model.embedding
    if isinstance(embedding.tokens, PromptedTokens):
        raise ValueError("Une amorce apprise est déjà posée : retirez-la (detach_soft_prompt).")
    if type(n_tokens) is not int or not 1 <= n_tokens < embedding.context_length:
        raise ValueError(
            f"n_tokens = {n_tokens!r} : il en faut au moins 1 (un entier), et moins que le "
            f"contexte ({embedding.context_length})."
        )
    freeze_base(model)
    vocab_size = embedding.tokens.num_embeddings
    prompted = PromptedTokens(embedding.tokens, n_tokens, seed)
    embedding.tokens = prompted.train(embedding.tokens.training)
    return list(range(vocab_size, vocab_size + n_tokens))


def detach_soft_prompt(model: Decoder) -> Decoder:
    """Retire l’amorce et rend le modèle ; ValueError s’il n’y en a pas.

    Ses vecteurs sont `model.embedding.tokens.prompt`, à lire avant.
    """
    tokens = model.embedding.tokens
    if not isinstance(tokens, PromptedTokens):
        raise ValueError("Ce modèle n’a pas d’amorce apprise.")
    model.embedding.tokens = tokens.base
    restore_base(model)
    return model
