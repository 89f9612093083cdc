"""Écrire la traduction ou la glose, et compter les phrases justes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_experiments.pronoun.task import Vocabulary, rows
from course_lib.corpora import TranslationPair
from course_lib.recurrent import RecurrentSeq2Seq
from course_lib.transformer import Encoder

PRONOUNS = frozenset(["il", "elle"])


@torch.no_grad()
def greedy_translate(
    model, sentences: Sequence[str], words: Vocabulary, max_length: int = 80
) -> list[str]:
    """Traduit en choisissant à chaque pas le mot le plus probable ; toutes les phrases ensemble.

    Accepte un `EncoderDecoder` (avec mémoire cache) ou un `RecurrentSeq2Seq`. Une phrase trop
    longue s’arrête à `max_length` mots.
    """
    advance = _stepper(model, rows(sentences, words.english), max_length)
    end = words.french.eos_id
    token = torch.full((len(sentences), 1), words.french.bos_id)
    written: list[Tensor] = []
    finished = torch.zeros(len(sentences), dtype=torch.bool)
    while len(written) < max_length and not finished.all():
        token = advance(token).argmax(-1, keepdim=True)  # (B, 1)
        finished |= token[:, 0] == end
        written.append(token)
    return [_until(row, end, words) for row in torch.cat(written, dim=1).tolist()]


def _stepper(model, source: Tensor, max_length: int) -> Callable[[Tensor], Tensor]:
    """Une fonction qui lit le dernier mot (B, 1) et rend les scores du suivant (B, V)."""
    if isinstance(model, RecurrentSeq2Seq):
        memory, state = model.encode(source), None

        def advance(token: Tensor) -> Tensor:
            nonlocal state
            logits, state = model.advance(token, memory, state)
            return logits[:, -1]

        return advance
    mask = model.encoder.padding_mask(source)
    memory = model.encode(source, mask)
    cache = model.new_cache(len(source), max_length, source.shape[1])
    return lambda token: model.decode(token, memory, mask, cache=cache)[:, -1]


def _until(ids: list[int], end: int, words: Vocabulary) -> str:
    kept = ids[: ids.index(end)] if end in ids else ids
    return " ".join(words.french.tokens[i] for i in kept)


def translation_scores(
    model, pairs: Sequence[TranslationPair], words: Vocabulary
) -> dict[str, int]:
    """Compte les traductions justes mot pour mot, et les pronoms justes.

    Une traduction au mauvais nombre de pronoms compte faux pour ceux qui manquent.
    """
    translations = greedy_translate(model, [pair.english for pair in pairs], words)
    counts = {"sentences": len(pairs), "exact": 0, "pronouns": 0, "right_pronouns": 0}
    for pair, translation in zip(pairs, translations, strict=True):
        expected, found = (_pronouns(text) for text in (pair.french, translation))
        counts["exact"] += translation == pair.french
        counts["pronouns"] += len(expected)
        counts["right_pronouns"] += sum(a == b for a, b in zip(expected, found, strict=False))
    return counts


def _pronouns(text: str) -> list[str]:
    return [word for word in text.split() if word in PRONOUNS]


@torch.no_grad()
def gloss_words(model: Encoder, sentences: Sequence[str], words: Vocabulary) -> list[str]:
    """La glose de chaque phrase : un mot français par mot anglais."""
    predicted = model(rows(sentences, words.english)).argmax(-1)  # (B, S)
    lengths = [len(sentence.split()) for sentence in sentences]
    return [
        " ".join(words.gloss.tokens[i] for i in row[:length].tolist())
        for row, length in zip(predicted, lengths, strict=True)
    ]


def gloss_scores(model: Encoder, pairs: Sequence[TranslationPair], words: Vocabulary) -> dict:
    """Compte les gloses justes mot pour mot, et les pronoms justes."""
    counts = {"sentences": len(pairs), "exact": 0, "pronouns": 0, "right_pronouns": 0}
    glosses = gloss_words(model, [pair.english for pair in pairs], words)
    for pair, gloss in zip(pairs, glosses, strict=True):
        expected, found = pair.gloss.split(), gloss.split()
        counts["exact"] += expected == found
        counts["pronouns"] += len(pair.clauses)
        counts["right_pronouns"] += sum(
            expected[clause.pronoun] == found[clause.pronoun] for clause in pair.clauses
        )
    return counts


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
