"""Des phrases en vecteurs : deux phrases de sens voisin ont des vecteurs voisins (MiniLM)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.generation.readers import reading
from course_lib.pretrained.folders.sentence_settings import (
    SentenceSettings,
    read_sentence_settings,
)
from course_lib.pretrained.loading import Pretrained
from course_lib.transformer import Encoder

_BATCH = 32


def sentence_embeddings(
    pretrained: Pretrained, sentences: Sequence[str], prompt_name: str | None = None
) -> Tensor:
    """Un vecteur de norme 1 par phrase, (N, D) : leur produit scalaire est leur ressemblance.

    Le modèle dit comment il le tire des vecteurs de ses jetons, début et fin compris : leur moyenne
    s’il n’en dit rien, le premier, le maximum… S’il déclare le produit scalaire pour mesure, la
    norme n’est pas ramenée à 1. Une phrase plus longue que le contexte, ou que la
    longueur que déclare le modèle, est coupée. `prompt_name` : la consigne du modèle à mettre
    devant chaque phrase (« query », « passage »…). TypeError pour une phrase seule, ValueError si
    le modèle n’est pas un encodeur de phrases, ou s’il a une étape que l’on ne sait pas faire.
    Source : Reimers et Gurevych 2019, §3.
    """
    if isinstance(sentences, str):
        raise TypeError("Donnez une liste de phrases ; pour une seule : [phrase].")
    model, tokenizer = pretrained.model, pretrained.tokenizer
    if not isinstance(model, Encoder):
        raise ValueError(
            f"Un modèle {pretrained.family} au tokeniseur {type(tokenizer).__name__} n’est pas un "
            "encodeur de phrases que l’on sache lire : prenez load_pretrained(minilm_folder())."
        )
    settings = read_sentence_settings(pretrained.sentence_files)
    context = pretrained.config.context_length
    longest = min(context, settings.max_length or context)
    texts = _prepared(sentences, settings, prompt_name)
    lines = [tokenizer.encode_sentence(text, longest) for text in texts]
    device = model.embedding.tokens.weight.device
    vectors = torch.empty(len(lines), pretrained.config.d_model, device=device)
    # Les phrases de même longueur ensemble : moins de remplissage à calculer.
    order = sorted(range(len(lines)), key=lambda rank: len(lines[rank]))
    for start in range(0, len(order), _BATCH):
        ranks = order[start : start + _BATCH]
        rows = [torch.tensor(lines[rank]) for rank in ranks]
        ids = torch.nn.utils.rnn.pad_sequence(rows, True, model.pad_id or 0)  # (B, T)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, line in zip(mask, rows, strict=True):
            row[: len(line)] = True
        ids, mask = ids.to(device), mask.to(device)
        with reading(model):
            hidden = model.hidden(ids, mask)  # (B, T, D)
        vectors[ranks] = pool(hidden, mask, settings.pooling)
    return F.normalize(vectors, dim=-1) if settings.unit else vectors


def pool(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """Un vecteur par texte, (B, D), des vecteurs (B, T, D) de ses vrais jetons, `mask` (B, T).

    `how` : une des valeurs de `POOLINGS`. Source : sentence-transformers, `models/Pooling.py`.
    """
    kept = mask[..., None].float()  # (B, T, 1)
    lengths = kept.sum(1)  # (B, 1)
    if how == "cls":
        return hidden[:, 0]
    if how == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths[:, 0].long() - 1]
    if how == "max":
        return hidden.masked_fill(~mask[..., None], -torch.inf).amax(1)
    if how == "weightedmean":  # un jeton pèse son rang, compté de 1
        kept = kept * torch.arange(1, 1 + mask.shape[1], device=mask.device)[:, None]
    total = (hidden * kept).sum(1)  # (B, D)
    return total / (lengths.sqrt() if how == "mean_sqrt_len" else kept.sum(1))


def _prepared(
    sentences: Sequence[str], settings: SentenceSettings, prompt_name: str | None
) -> list[str]:
    """Les phrases, leur consigne devant, en minuscules si le modèle le demande."""
    name = settings.default_prompt if prompt_name is None else prompt_name
    if name is not None and name not in settings.prompts:
        known = ", ".join(settings.prompts) or "aucune"
        raise ValueError(f"prompt_name = {name!r} : ce modèle a pour consignes {known}.")
    prompt = "" if name is None else settings.prompts[name]
    if prompt and not settings.include_prompt:
        raise ValueError(
            f"1_Pooling/config.json : include_prompt = False, et la consigne « {prompt} » est mise "
            "devant les phrases : on ne sait pas l’ôter des vecteurs. Lisez ce modèle avec "
            "sentence-transformers."
        )
    texts = [prompt + sentence for sentence in sentences]
    return [text.lower() for text in texts] if settings.lowercase else texts
