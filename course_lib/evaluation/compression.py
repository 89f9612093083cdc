"""Ce qu’un modèle sait d’une langue, en bits par octet : la longueur du texte une fois comprimé.

Un modèle qui donne au texte la probabilité p peut l’écrire en −log2 p bits. Rapportée à l’octet
plutôt qu’au jeton, la mesure compare des tokeniseurs et des langues : découper plus gros ne
l’améliore pas. Source : Shannon 1951 ; Gao et al. 2020, §3.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.generation.readers import reading
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder


@dataclass(frozen=True)
class Compression:
    """Ce que coûtent des textes : bits en tout, octets (UTF-8), mots et jetons."""

    bits: float
    n_bytes: int
    n_words: int
    n_tokens: int

    @property
    def bits_per_byte(self) -> float:
        """8 pour un modèle qui ne sait rien, environ 1 pour un grand modèle sur l’anglais."""
        return self.bits / self.n_bytes

    @property
    def tokens_per_word(self) -> float:
        """Jetons pour un mot, au sens des espaces."""
        return self.n_tokens / self.n_words

    @property
    def perplexity(self) -> float:
        """Perplexité par jeton : ne se compare qu’entre modèles de même tokeniseur."""
        return 2 ** (self.bits / self.n_tokens)


def token_bits(model: Decoder, ids: Sequence[int], start_id: int) -> Tensor:
    """Surprise de chaque jeton, en bits, (T,) ; le premier est lu après `start_id`."""
    device = model.embedding.tokens.weight.device
    context = torch.tensor([[start_id, *ids[:-1]]], device=device)
    with reading(model):
        log_probs = model(context)[0].float().log_softmax(dim=-1)  # (T, V)
    targets = torch.tensor(ids, device=device)
    return -log_probs.gather(1, targets[:, None])[:, 0] / math.log(2)


def compress(
    model: Decoder, tokenizer: Tokenizer, texts: Sequence[str], start_id: int
) -> Compression:
    """Mesure des textes, lus séparément. ValueError si l’un est vide."""
    bits, n_tokens = 0.0, 0
    for text in texts:
        ids = tokenizer.encode(text)
        if not ids:
            raise ValueError("Un des textes est vide : il n’y a rien à mesurer. Retirez-le.")
        bits += float(token_bits(model, ids, start_id).double().sum())
        n_tokens += len(ids)
    n_bytes = sum(len(text.encode()) for text in texts)
    return Compression(bits, n_bytes, sum(len(text.split()) for text in texts), n_tokens)
