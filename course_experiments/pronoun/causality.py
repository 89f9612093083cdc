"""Regarder, puis vérifier : poids d’attention de « it », greffes et lectures coupées.

Formes : B phrases, L étages, H têtes, S mots anglais, T mots français.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from course_experiments.pronoun.task import Sentences, Vocabulary, prepare, rows
from course_lib.corpora import TranslationPair
from course_lib.interpretation import (
    at_positions,
    attention_maps,
    masked_edges,
    patched_activations,
    record_activations,
)
from course_lib.transformer import Encoder, EncoderDecoder

MinimalPairs = Sequence[tuple[TranslationPair, TranslationPair]]


def attention_from_pronoun(model, sentences: Sentences) -> Tensor:
    """Poids que « it » accorde à chaque mot dans l’encodeur, (B, L, H, S)."""
    inputs = (sentences.source,)
    if isinstance(model, EncoderDecoder):
        inputs = (sentences.source, sentences.target[:, :1])
    maps = torch.stack(attention_maps(model, *inputs)["encoder"], dim=1)  # (B, L, H, S, S)
    every = torch.arange(len(maps))
    return maps[every, :, :, sentences.pronoun]


def _masses(model, pairs: Sequence[TranslationPair], words: Vocabulary) -> tuple[Tensor, Tensor]:
    """Part de l’attention de « it » qui va au groupe de l’animal, puis du lieu, (B, L, H)."""
    sentences = prepare(pairs, words)
    weights = attention_from_pronoun(model, sentences)
    agent, place = (
        (weights * group[:, None, None, :]).sum(-1) for group in (sentences.agent, sentences.place)
    )
    return agent, place


def switching_heads(model, pairs: MinimalPairs, words: Vocabulary) -> Tensor:
    """Part des paires où une tête préfère le bon nom dans les deux phrases, (L, H)."""
    agent, place = _masses(model, [pair[0] for pair in pairs], words)
    twin_agent, twin_place = _masses(model, [pair[1] for pair in pairs], words)
    return ((agent > place) & (twin_place > twin_agent)).float().mean(0)


def attention_contrast(model, pairs: MinimalPairs, words: Vocabulary) -> Tensor:
    """Δ de chaque paire, (B,) : (animal − lieu | tired) − (animal − lieu | wide).

    Les poids sont sommés sur tous les étages et toutes les têtes. Δ > 0 : en passant de l’adjectif
    de l’animal à celui du lieu, l’attention de « it » se déplace de l’animal vers le lieu.
    """
    agent, place = _masses(model, [pair[0] for pair in pairs], words)
    twin_agent, twin_place = _masses(model, [pair[1] for pair in pairs], words)
    return ((agent - place) - (twin_agent - twin_place)).sum((1, 2))


def contrast_map(model, pair: tuple[TranslationPair, TranslationPair], words: Vocabulary) -> Tensor:
    """Différence des poids de « it » entre les deux phrases, têtes sommées, (L, S)."""
    weights, twin = (
        attention_from_pronoun(model, prepare([sentence], words))[0].sum(1) for sentence in pair
    )
    return weights - twin


@torch.no_grad()
def gloss_interventions(model: Encoder, pairs: MinimalPairs, words: Vocabulary) -> dict[str, int]:
    """Erreurs de pronom de la glose, lectures coupées une à une.

    Clés : « none » (rien) ; « referent », « other », « both » (les deux noms), « adjective » :
    « it » ne lit plus ces mots.
    """
    errors: dict[str, int] = {}
    for side in (0, 1):
        sentences = prepare([pair[side] for pair in pairs], words)
        every = torch.arange(len(pairs))

        def wrong(sentences=sentences, every=every) -> int:
            logits = model(sentences.source)[every, sentences.pronoun]  # (B, V)
            return _wrong_gender(logits, sentences, words.gloss)

        _add(errors, "none", wrong())
        for name, keys in _encoder_targets(sentences).items():
            with masked_edges(model, _reads(sentences, keys)):
                _add(errors, name, wrong())
    return errors


@torch.no_grad()
def translator_interventions(
    model: EncoderDecoder, pairs: MinimalPairs, words: Vocabulary
) -> dict[str, int]:
    """Erreurs de pronom du traducteur, selon ce qu’on lui fait.

    « none » ; « patch_X » : la sortie de l’encodeur en X vient de la phrase jumelle ; « mask_X » :
    dans l’encodeur, « it » ne lit plus X ; « cross_X » : le décodeur, au moment d’écrire le pronom,
    ne lit plus X ; « own_past » : il n’y lit plus les mots français déjà écrits.
    """
    errors: dict[str, int] = {}
    both = [prepare([pair[side] for pair in pairs], words) for side in (0, 1)]
    for sentences, twin in (both, both[::-1]):

        def wrong(sentences=sentences) -> int:
            logits = model(sentences.source, sentences.target[:, :-1])  # (B, T, V)
            every = torch.arange(len(logits))
            return _wrong_gender(logits[every, sentences.french_pronoun], sentences, words.french)

        _add(errors, "none", wrong())
        with record_activations(model, ["encoder"]) as donor:
            model(twin.source, twin.target[:, :1])
        pronoun, adjective = sentences.at(sentences.pronoun), sentences.at(sentences.adjective)
        places = {"pronoun": pronoun, "adjective": adjective, "nouns": _nouns(sentences)}
        for name, positions in places.items():
            with patched_activations(model, donor, positions):
                _add(errors, f"patch_{name}", wrong())
        for name, keys in _encoder_targets(sentences).items():
            with masked_edges(model, _reads(sentences, keys), kind="encoder"):
                _add(errors, f"mask_{name}", wrong())
        n_queries = sentences.target.shape[1] - 1
        for name, keys in {**places, "referent": sentences.referent}.items():
            queries = at_positions(sentences.french_pronoun, n_queries)
            with masked_edges(model, queries[:, :, None] & keys[:, None, :], kind="cross"):
                _add(errors, f"cross_{name}", wrong())
        rank = torch.arange(n_queries)
        earlier = queries[:, :, None] & (rank < sentences.french_pronoun[:, None])[:, None, :]
        with masked_edges(model, earlier, kind="decoder"):
            _add(errors, "own_past", wrong())
    return errors


def _encoder_targets(sentences: Sentences) -> dict[str, Tensor]:
    """Les groupes de mots que « it » pourrait lire, (B, S)."""
    return {
        "referent": sentences.referent,
        "other": sentences.other,
        "both": sentences.referent | sentences.other,
        "adjective": sentences.at(sentences.adjective),
    }


def _nouns(sentences: Sentences) -> Tensor:
    return sentences.agent | sentences.place


def _reads(sentences: Sentences, keys: Tensor) -> Tensor:
    """Les lectures « it » → `keys`, (B, S, S)."""
    return sentences.at(sentences.pronoun)[:, :, None] & keys[:, None, :]


def _wrong_gender(logits: Tensor, sentences: Sentences, tokenizer) -> int:
    """Nombre de phrases où le genre préféré n’est pas le bon ; `logits` (B, V)."""
    he, she = (tokenizer.token_to_id[word] for word in ("il", "elle"))
    return int(((logits[:, she] > logits[:, he]) != sentences.feminine).sum())


def _add(counts: dict[str, int], name: str, value: int) -> None:
    counts[name] = counts.get(name, 0) + value


def famous_preferences(
    model: EncoderDecoder, pair: tuple[TranslationPair, TranslationPair], words: Vocabulary
) -> list[float]:
    """Avance de « elle » sur « il » (en logits) au moment du pronom, dans chaque phrase."""
    preferences = []
    for sentence in pair:
        prepared = prepare([sentence], words)
        with torch.no_grad():
            logits = model(rows([sentence.english], words.english), prepared.target[:, :-1])
        scores = logits[0, prepared.french_pronoun[0]]
        he, she = (words.french.token_to_id[word] for word in ("il", "elle"))
        preferences.append((scores[she] - scores[he]).item())
    return preferences


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
