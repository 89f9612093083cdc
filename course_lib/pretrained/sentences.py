"""Des phrases en vecteurs : deux phrases de sens voisin ont des vecteurs voisins (MiniLM)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.generation.readers import reading
from course_lib.pretrained.loading import Pretrained
from course_lib.tokenization import WordPieceTokenizer

_BATCH = 32


def sentence_embeddings(pretrained: Pretrained, sentences: Sequence[str]) -> Tensor:
    """Un vecteur de norme 1 par phrase, (N, D) : leur produit scalaire est leur ressemblance.

    C’est la moyenne des vecteurs de sortie de tous les jetons, `[CLS]` et `[SEP]` compris. Une
    phrase plus longue que le contexte est coupée (MiniLM : 512 jetons ; sentence-transformers s’y
    arrête à 256). TypeError pour une phrase seule, ValueError si le modèle n’est pas un encodeur de
    phrases. Source : Reimers et Gurevych 2019, §3.
    """
    if isinstance(sentences, str):
        raise TypeError("Donnez une liste de phrases ; pour une seule : [phrase].")
    model, tokenizer = pretrained.model, pretrained.tokenizer
    if pretrained.family != "bert" or not isinstance(tokenizer, WordPieceTokenizer):
        raise ValueError(
            f"Un modèle {pretrained.family} au tokeniseur {type(tokenizer).__name__} n’est pas un "
            "encodeur de phrases que l’on sache lire : prenez load_pretrained(minilm_folder())."
        )
    context = pretrained.config.context_length
    lines = [tokenizer.encode_sentence(sentence, context) for sentence in sentences]
    vectors = torch.empty(len(lines), pretrained.config.d_model)
    # Les phrases de même longueur ensemble : moins de remplissage à calculer.
    order = sorted(range(len(lines)), key=lambda rank: len(lines[rank]))
    for start in range(0, len(order), _BATCH):
        ranks = order[start : start + _BATCH]
        rows = [torch.tensor(lines[rank]) for rank in ranks]
        ids = torch.nn.utils.rnn.pad_sequence(rows, True, tokenizer.pad_id)  # (B, T)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, line in zip(mask, rows, strict=True):
            row[: len(line)] = True
        with reading(model):
            hidden = model.hidden(ids, mask)  # (B, T, D)
        kept = mask[..., None].float()  # (B, T, 1)
        vectors[ranks] = (hidden * kept).sum(1) / kept.sum(1)
    return F.normalize(vectors, dim=-1)
