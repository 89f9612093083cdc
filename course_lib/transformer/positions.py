"""Dire au modèle où est chaque jeton : positions sinusoïdales, apprises ou rotatives.

L’attention ne connaît pas l’ordre : sans positions, « le chien mord l’homme » et « l’homme mord
le chien » seraient le même sac de mots. Formes : T positions, D = d_model, Dh dimension d’une tête.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.transformer.sizes import check_types

Rope = tuple[Tensor, Tensor]  # cosinus et sinus signés, diffusables à (B, H, T, Dh)


def sinusoidal_table(context_length: int, d_model: int) -> Float[Tensor, "N D"]:
    """Table de 2017 : sinus aux colonnes paires, cosinus aux impaires, de plus en plus lents.

    Colonnes 2i et 2i + 1 : sin et cos de position / 10000^(2i / d_model).
    Source : Vaswani et al. 2017, §3.5.
    """
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)  # (⌈D/2⌉,)
    angles = torch.outer(torch.arange(context_length).float(), frequencies)
    table = torch.empty(context_length, d_model)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : d_model // 2]
    return table


class _ExactTables(nn.Module):
    """Un module dont les tables restent en simple précision quand le modèle passe sur 16 bits.

    Arrondies, elles le resteraient une fois le modèle revenu sur 32.
    """

    def _apply(self, fn, recurse=True):
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, table in self.named_buffers(recurse=False):
            if table.dtype.itemsize < exact[name].dtype.itemsize:
                setattr(self, name, exact[name].to(table.device))
        return self


class SinusoidalPositions(_ExactTables):
    """Un vecteur fixe par position, ajouté à celui du jeton."""

    def __init__(self, context_length: int, d_model: int):
        super().__init__()
        # persistent=False : la table se recalcule, inutile de l’enregistrer avec les poids.
        self.register_buffer("table", sinusoidal_table(context_length, d_model), persistent=False)

    def forward(self, positions: Int[Tensor, "*B T"]) -> Float[Tensor, "*B T D"]:
        return self.table[positions]


class LearnedPositions(nn.Module):
    """Un vecteur appris par position (BERT, GPT-2).

    `first` : la ligne de la table où l’on commence ; celles d’avant ne servent pas (RoBERTa).
    """

    def __init__(self, context_length: int, d_model: int, first: int = 0):
        super().__init__()
        self.first = first
        self.table = nn.Embedding(first + context_length, d_model)

    def forward(self, positions: Int[Tensor, "*B T"]) -> Float[Tensor, "*B T D"]:
        return self.table(self.first + positions)


@dataclass(frozen=True)
class Llama3Scaling:
    """Étirement des positions rotatives de Llama 3.1 : lire `factor` fois plus loin.

    Une fréquence qui fait plus de `high_freq_factor` tours dans le contexte d’origine ne change
    pas ; une qui en fait moins de `low_freq_factor` ralentit de `factor` ; entre les deux, on passe
    de l’un à l’autre. Source : Llama Team 2024, §3.4.2, et le code publié avec Llama 3.1.
    """

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context_length: int = 8192

    def __post_init__(self):
        check_types(self)
        if self.factor < 1 or self.original_context_length < 1:
            raise ValueError(
                f"factor = {self.factor} et original_context_length = "
                f"{self.original_context_length} : il faut des nombres au moins égaux à 1."
            )
        if not 0 < self.low_freq_factor < self.high_freq_factor:
            raise ValueError(
                f"low_freq_factor = {self.low_freq_factor} et high_freq_factor = "
                f"{self.high_freq_factor} : il faut 0 < low_freq_factor < high_freq_factor."
            )

    def slow_down(self, frequencies: Float[Tensor, " F"]) -> Float[Tensor, " F"]:
        """Les fréquences étirées, en radians par position comme celles reçues."""
        turns = self.original_context_length * frequencies / (2 * math.pi)
        kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        kept = kept.clamp(0.0, 1.0)  # 1 : fréquence inchangée ; 0 : divisée par factor
        return frequencies * (kept + (1 - kept) / self.factor)


def rotary_frequencies(head_dim: int, theta: float = 10000.0) -> Float[Tensor, " F"]:
    """Vitesse de rotation de chacune des Dh/2 paires : theta^(−2i / Dh) radians par position."""
    return theta ** (-torch.arange(0, head_dim, 2) / head_dim)


class RotaryPositions(_ExactTables):
    """Positions rotatives : requêtes et clés tournent d’un angle proportionnel à leur position.

    Le produit q·k ne dépend alors que de l’*écart* des positions. Les cosinus et les sinus sont
    calculés une fois ; `forward` rend ceux des positions demandées. Source : Su et al. 2021.
    """

    def __init__(
        self,
        context_length: int,
        head_dim: int,
        theta: float = 10000.0,
        scaling: Llama3Scaling | None = None,
    ):
        super().__init__()
        self.theta = theta
        self.scaling = scaling
        cos, sin = self._tables(context_length, head_dim)
        # persistent=False : les tables se recalculent, inutile de les enregistrer avec les poids.
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def _tables(self, context_length: int, head_dim: int) -> Rope:
        """Cosinus et sinus signés de chaque position, deux tables (N, Dh)."""
        if torch.empty(0).is_meta:  # bâti sans nombres : rien à calculer
            return torch.empty(context_length, head_dim), torch.empty(context_length, head_dim)
        frequencies = rotary_frequencies(head_dim, self.theta)  # (Dh/2,)
        if self.scaling is not None:
            frequencies = self.scaling.slow_down(frequencies)
        angles = torch.outer(torch.arange(context_length).float(), frequencies)
        angles = torch.cat((angles, angles), dim=-1)  # (N, Dh) : une paire = (i, i + Dh/2)
        sign = torch.ones(head_dim)
        sign[: head_dim // 2] = -1.0  # (a, b) tourné : (a cos − b sin, b cos + a sin)
        return angles.cos(), angles.sin() * sign

    def forward(self, positions: Int[Tensor, "*B T"]) -> Rope:
        """Cosinus et sinus signés, (*B, 1, T, Dh) : le 1 est la place des têtes."""
        return self.cos[positions].unsqueeze(-3), self.sin[positions].unsqueeze(-3)


def rotate(x: Float[Tensor, "B H T Dh"], rope: Rope) -> Float[Tensor, "B H T Dh"]:
    """Fait tourner chaque paire de coordonnées (i, i + Dh/2), convention de Llama.

    Ne pas confondre avec les paires voisines (2i, 2i + 1) de l’article : les poids d’une convention
    lus dans l’autre donnent un modèle faux sans aucune erreur.
    """
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((second, first), dim=-1) * sin).to(x.dtype)
