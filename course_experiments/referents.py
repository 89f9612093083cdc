"""À qui renvoie « it » ? Trois façons de le demander à un modèle de langue.

1. Remplacer « it » par chacun des deux noms et comparer les probabilités de la suite.
2. Cacher un nom aux mots qui suivent « it » et voir quel adjectif en souffre.
3. Regarder où l’adjectif porte son attention.

Un modèle de langue lit de gauche à droite : en lisant « it », il ne connaît pas encore l’adjectif.
On mesure donc à l’adjectif, le premier endroit où la réponse peut se voir.
Formes : B phrases, T jetons ; tableaux (paires, 2, 2) indexés [paire, nom, adjectif].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.corpora.sentences.referents import TwinSentences
from course_lib.generation.readers import reading
from course_lib.interpretation import masked_edges, recorded_attention
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder

BATCH = 32


@dataclass(frozen=True)
class Passage:
    """Une phrase en jetons, et les rangs des jetons qui couvrent quelques-uns de ses morceaux."""

    ids: list[int]
    spans: list[tuple[int, int]]

    def ranks(self, start: int, end: int) -> list[int]:
        """Rangs des jetons qui touchent les caractères [start, end[."""
        return [i for i, (a, b) in enumerate(self.spans) if a < end and b > start and b > a]


def read_passage(text: str, tokenizer: Tokenizer) -> Passage:
    """Met une phrase en jetons, avec leurs intervalles de caractères."""
    return Passage(*tokenizer.encode_with_spans(text))


def _pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """(B, T) calé à gauche : dans un modèle causal, le remplissage de droite n’est lu par rien."""
    width = max(len(ids) for ids in rows)
    return torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in rows])


def log_probs(
    model: Decoder,
    passages: Sequence[Passage],
    scored: Sequence[Sequence[int]],
    hidden: Sequence[tuple[Sequence[int], int]] | None = None,
) -> np.ndarray:
    """Log-probabilité (nats) des jetons de rangs `scored[b]`, chacun sachant tout ce qui précède.

    `hidden[b]` = (rangs cachés, premier rang qui ne les voit plus) : on coupe ces lectures.
    Le modèle ne lit que jusqu’au dernier jeton à prédire, exclu ; deux phrases qui ne diffèrent
    qu’ensuite n’en font qu’une, et la tête n’est appliquée qu’où l’on prédit.
    """
    sharing: dict[tuple, list[int]] = {}  # ce qui se lit → les phrases qui le lisent
    for row, (passage, ranks) in enumerate(zip(passages, scored, strict=True)):
        keys, start = ((), 0) if hidden is None else hidden[row]
        sharing.setdefault((tuple(passage.ids[: max(ranks)]), tuple(keys), start), []).append(row)
    totals, reads = np.zeros(len(passages)), list(sharing)
    for first in range(0, len(reads), BATCH):
        some = reads[first : first + BATCH]
        ids = _pad([read for read, _, _ in some])
        forbidden = torch.zeros(len(some), ids.shape[1], ids.shape[1], dtype=torch.bool)
        for i, (_, keys, start) in enumerate(some):
            forbidden[i, start:, list(keys)] = True
        with reading(model), masked_edges(model, forbidden):
            # (phrase du lot, rang du jeton, phrase notée) : un triplet par jeton à prédire
            wanted = [
                (i, k, row)
                for i, read in enumerate(some)
                for row in sharing[read]
                for k in scored[row]
            ]
            vectors = model.hidden(ids)[[i for i, _, _ in wanted], [k - 1 for _, k, _ in wanted]]
            scores = model.head(vectors).log_softmax(dim=-1)  # (N, V)
        chosen = scores[range(len(wanted)), [passages[row].ids[k] for _, k, row in wanted]]
        np.add.at(totals, [row for _, _, row in wanted], chosen.double().numpy())
    return totals


def substitution(
    model: Decoder, tokenizer: Tokenizer, twins: Sequence[TwinSentences], context: bool = True
) -> np.ndarray:
    """Log-probabilité de « was too <adjectif>. » après chaque nom, (paires, nom, adjectif).

    `context=False` retire le début : « The animal was too tired. » dit seulement si l’adjectif va
    au nom, sans phrase à comprendre.
    """
    passages, scored = [], []
    for pair in twins:
        for noun in (0, 1):
            for adjective in (0, 1):
                text = pair.named(noun, adjective)
                if not context:
                    text = f"The {pair.nouns[noun]} was too {pair.adjectives[adjective]}."
                passage = read_passage(text, tokenizer)
                passages.append(passage)
                scored.append(passage.ranks(text.rindex(" was too"), len(text)))
    return log_probs(model, passages, scored).reshape(-1, 2, 2)


def preference(scores: np.ndarray) -> np.ndarray:
    """De combien le bon nom l’emporte, (paires, adjectif) : positif, le modèle a raison."""
    return np.stack((scores[:, 0, 0] - scores[:, 1, 0], scores[:, 1, 1] - scores[:, 0, 1]), axis=1)


def interaction(scores: np.ndarray) -> np.ndarray:
    """(bon nom − autre nom) sommé sur les deux adjectifs : annule ce qui tient au nom seul."""
    return scores[:, 0, 0] - scores[:, 0, 1] - scores[:, 1, 0] + scores[:, 1, 1]


@dataclass(frozen=True)
class ItSentence:
    """Une phrase avec « it » : rangs des jetons de chaque nom, de « it » et de l’adjectif."""

    passage: Passage
    nouns: tuple[list[int], list[int]]
    it: int
    adjective: list[int]


def read_it_sentence(pair: TwinSentences, adjective: str, tokenizer: Tokenizer) -> ItSentence:
    """Repère les mots qui comptent dans la phrase à pronom."""
    text = pair.sentence(adjective)
    passage = read_passage(text, tokenizer)
    first, second = len("The "), len(pair.beginning) - len(pair.nouns[1])
    nouns = (
        passage.ranks(first, first + len(pair.nouns[0])),
        passage.ranks(second, len(pair.beginning)),
    )
    it, end = text.rindex(" it was") + 1, len(text) - 1
    (rank,) = passage.ranks(it, it + 2)
    return ItSentence(passage, nouns, rank, passage.ranks(end - len(adjective), end))


def _it_sentences(tokenizer: Tokenizer, twins: Sequence[TwinSentences]) -> list[ItSentence]:
    return [read_it_sentence(pair, word, tokenizer) for pair in twins for word in pair.adjectives]


def hiding(model: Decoder, tokenizer: Tokenizer, twins: Sequence[TwinSentences]) -> np.ndarray:
    """Nats que perd chaque adjectif quand un nom est caché à partir de « it », (paires, 2, 2)."""
    found = _it_sentences(tokenizer, twins)
    passages, scored = [one.passage for one in found], [one.adjective for one in found]
    whole = log_probs(model, passages, scored)
    losses = [
        whole - log_probs(model, passages, scored, [(one.nouns[noun], one.it) for one in found])
        for noun in (0, 1)
    ]
    return np.stack(losses, axis=1).reshape(-1, 2, 2).transpose(0, 2, 1)  # [paire, nom, adjectif]


def attention_to_nouns(
    model: Decoder, tokenizer: Tokenizer, twins: Sequence[TwinSentences]
) -> np.ndarray:
    """Attention de l’adjectif à chaque nom, (étages, têtes, paires, nom, adjectif).

    En plusieurs jetons, un nom compte pour leur somme, un adjectif pour son dernier.
    """
    found, rows = _it_sentences(tokenizer, twins), []
    for first in range(0, len(found), BATCH):
        some = found[first : first + BATCH]
        with reading(model), recorded_attention(model) as maps:
            model.hidden(_pad([one.passage.ids[: one.adjective[-1] + 1] for one in some]))
        weights = torch.stack(maps["decoder"], dim=1)  # (B, L, H, Tq, Tk)
        for one, read in zip(some, weights, strict=True):
            there = read[:, :, one.adjective[-1]]  # (L, H, Tk)
            rows.append([there[:, :, noun].sum(-1).numpy() for noun in one.nouns])  # (nom, L, H)
    table = np.array(rows).reshape(len(twins), 2, 2, *rows[0][0].shape)  # (paire, adj, nom, L, H)
    return table.transpose(3, 4, 0, 2, 1)


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
