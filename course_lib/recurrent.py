"""Les réseaux récurrents (GRU, LSTM), que le Transformer a remplacés.

Un réseau récurrent lit les jetons un à un et résume tout le passé dans un état de taille fixe :
GRU (Cho et al., 2014, arXiv:1406.1078), LSTM (Hochreiter et Schmidhuber, 1997,
doi:10.1162/neco.1997.9.8.1735). Pour traduire, un premier réseau lit la source et un second
écrit la cible (Sutskever et al., 2014, arXiv:1409.3215) ; l’attention lui laisse relire chaque
mot de la source (Luong et al., 2015, arXiv:1508.04025).

Notations : B textes, T jetons, S jetons de la source, D d_model, H hidden_size, V vocabulaire.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

_CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
State = Tensor | tuple[Tensor, Tensor]  # GRU : (couches, B, H) ; LSTM : deux tels tenseurs


class Memory(NamedTuple):
    """Ce que l’encodeur transmet au décodeur."""

    outputs: Tensor  # (B, S, H) un vecteur par jeton de la source
    mask: Tensor  # (B, S) vrai là où la source n’est pas du remplissage
    state: State  # état du réseau après le dernier vrai jeton de chaque source


class RecurrentLM(nn.Module):
    """Modèle de langage récurrent ; le remplissage, s’il y en a, se place à droite.

    Avec `tie_weights`, la tête réemploie les plongements (Press et Wolf, 2017,
    arXiv:1608.05859) ; une projection ramène H à D quand ils diffèrent.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        hidden_size: int,
        n_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
        tie_weights: bool = True,
    ):
        super().__init__()
        self.embedding = _embedding(vocab_size, d_model)
        self.rnn = _recurrent(cell, d_model, hidden_size, n_layers, dropout)
        self.dropout = nn.Dropout(dropout)
        width = d_model if tie_weights else hidden_size
        self.projection = (
            nn.Identity() if width == hidden_size else nn.Linear(hidden_size, width, bias=False)
        )
        self.head = nn.Linear(width, vocab_size, bias=False)
        if tie_weights:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) du jeton suivant, pour des ids (B, T)."""
        return self.head(self.hidden(ids))

    def hidden(self, ids: Tensor) -> Tensor:
        """Vecteurs (B, T, D) que lit la tête (H au lieu de D sans `tie_weights`)."""
        return self._run(ids, None)[0]

    def advance(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits (B, T, V) et nouvel état, en reprenant là où `state` s’est arrêté."""
        hidden, state = self._run(ids, state)
        return self.head(hidden), state

    def _run(self, ids: Tensor, state: State | None) -> tuple[Tensor, State]:
        _check_ids(ids, self.embedding.num_embeddings, "ids")
        outputs, state = self.rnn(self.dropout(self.embedding(ids)), state)
        return self.projection(self.dropout(outputs)), state


class RecurrentSeq2Seq(nn.Module):
    """Traducteur récurrent, avec ou sans attention.

    Sans attention, toute la source passe par l’état final de l’encodeur. Avec elle, à chaque
    pas, le vecteur h du décodeur pondère les vecteurs s de la source (score hᵀ W s de Luong) :
    a = softmax(score), c = Σ a s, puis h̃ = tanh(W_c [c ; h]).
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        d_model: int,
        hidden_size: int,
        cell: str = "gru",
        attention: bool = True,
        pad_id: int = 0,
        n_layers: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.pad_id = pad_id
        self.source_embedding = _embedding(source_vocab_size, d_model)
        self.target_embedding = _embedding(target_vocab_size, d_model)
        self.encoder = _recurrent(cell, d_model, hidden_size, n_layers, dropout)
        self.decoder = _recurrent(cell, d_model, hidden_size, n_layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.attention = LuongAttention(hidden_size) if attention else None
        self.head = nn.Linear(hidden_size, target_vocab_size, bias=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V) pour une source (B, S) et une cible décalée (B, T)."""
        return self.decode(target, self.encode(source))

    def hidden(self, source: Tensor, target: Tensor) -> Tensor:
        """Vecteurs (B, T, H) que lit la tête."""
        return self._run(target, self.encode(source), None)[0]

    def encode(self, source: Tensor) -> Memory:
        """Lit la source (B, S), remplie à droite par `pad_id`."""
        _check_ids(source, self.source_embedding.num_embeddings, "source")
        mask = source != self.pad_id
        lengths = mask.sum(1)
        positions = torch.arange(source.shape[1], device=source.device)
        if not torch.equal(mask, positions < lengths[:, None]) or (lengths == 0).any():
            raise ValueError(
                f"Chaque source doit commencer par au moins un vrai jeton, et le remplissage "
                f"(pad_id={self.pad_id}) se placer à droite."
            )
        # Empaqueter arrête chaque suite à sa vraie fin : le remplissage n’atteint pas l’état.
        packed = pack_padded_sequence(
            self.dropout(self.source_embedding(source)),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        outputs, state = self.encoder(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
        return Memory(outputs, mask, state)

    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        """Logits (B, T, V) de la cible, depuis son début."""
        return self.advance(target, memory)[0]

    def advance(
        self, target: Tensor, memory: Memory, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Logits (B, T, V) et nouvel état, en reprenant là où `state` s’est arrêté."""
        hidden, state = self._run(target, memory, state)
        return self.head(hidden), state

    def _run(self, target: Tensor, memory: Memory, state: State | None) -> tuple[Tensor, State]:
        _check_ids(target, self.target_embedding.num_embeddings, "target")
        if target.shape[0] != memory.outputs.shape[0]:
            raise ValueError(
                f"La cible a {target.shape[0]} textes et la source {memory.outputs.shape[0]} : "
                "il en faut autant."
            )
        inputs = self.dropout(self.target_embedding(target))
        hidden, state = self.decoder(inputs, memory.state if state is None else state)
        if self.attention is not None:
            hidden, _ = self.attention(hidden, memory)
        return self.dropout(hidden), state


class LuongAttention(nn.Module):
    """Attention « générale » de Luong et al. (2015), équations 5, 7 et 8."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.score = nn.Linear(hidden_size, hidden_size, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def forward(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Vecteurs enrichis (B, T, H) et poids (B, T, S) ; `hidden` est de forme (B, T, H)."""
        scores = hidden @ self.score(memory.outputs).transpose(1, 2)  # (B, T, H) @ (B, H, S)
        scores = scores.masked_fill(~memory.mask[:, None, :], float("-inf"))
        weights = scores.softmax(-1)  # (B, T, S)
        context = weights @ memory.outputs  # (B, T, H)
        return torch.tanh(self.combine(torch.cat([context, hidden], dim=-1))), weights


def _embedding(vocab_size: int, d_model: int) -> nn.Embedding:
    for name, value in (("vocab_size", vocab_size), ("d_model", d_model)):
        if value < 1:
            raise ValueError(f"{name}={value} doit être au moins 1.")
    embedding = nn.Embedding(vocab_size, d_model)
    nn.init.normal_(embedding.weight, std=d_model**-0.5)  # logits d’ordre 1 quand la tête est liée
    return embedding


def _recurrent(
    cell: str, d_model: int, hidden_size: int, n_layers: int, dropout: float
) -> nn.RNNBase:
    if cell not in _CELLS:
        raise ValueError(f"cell={cell!r} est inconnu : choisissez parmi {sorted(_CELLS)}.")
    for name, value in (("hidden_size", hidden_size), ("n_layers", n_layers)):
        if value < 1:
            raise ValueError(f"{name}={value} doit être au moins 1.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout} doit être compris entre 0 inclus et 1 exclu.")
    between_layers = dropout if n_layers > 1 else 0.0
    return _CELLS[cell](d_model, hidden_size, n_layers, batch_first=True, dropout=between_layers)


def _check_ids(ids: Tensor, vocab_size: int, name: str) -> None:
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ValueError(
            f"{name} doit être de forme (textes, jetons), avec au moins un jeton ; "
            f"reçu {tuple(ids.shape)}."
        )
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"{name} doit contenir des entiers ; reçu {ids.dtype}.")
    low, high = torch.aminmax(ids)
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"{name} contient des ids de {int(low)} à {int(high)} ; "
            f"le vocabulaire va de 0 à {vocab_size - 1}."
        )
