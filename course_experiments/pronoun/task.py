"""La tâche : les phrases, leurs vocabulaires, et les positions qui nous intéressent.

Formes : B phrases, S jetons anglais, T jetons français.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from course_experiments.records import load_records
from course_lib.corpora import TranslationPair, generate_pairs
from course_lib.interpretation import at_positions
from course_lib.tokenization import WordTokenizer

RESULTS = Path(__file__).resolve().parent.parent / "results" / "pronoun.json"
WEIGHTS = RESULTS.parent / "traducteur" / "model.safetensors"
DATA_SEED = 1  # les phrases d’entraînement sont les mêmes pour toutes les graines
TEST_SEED = 2


@dataclass(frozen=True)
class Vocabulary:
    """Un tokeniseur par langue ; la glose a le sien."""

    english: WordTokenizer
    french: WordTokenizer
    gloss: WordTokenizer


@cache
def vocabulary() -> Vocabulary:
    """Les trois vocabulaires, appris sur des phrases d’entraînement."""
    pairs = generate_pairs(4000, split="train", n_clauses=2, seed=DATA_SEED)
    english, french, gloss = (
        WordTokenizer.train([getattr(pair, side) for pair in pairs], split="whitespace")
        for side in ("english", "french", "gloss")
    )
    return Vocabulary(english, french, gloss)


def rows(texts: Sequence[str], tokenizer: WordTokenizer) -> Tensor:
    """Textes → identifiants (B, T), remplis à droite."""
    ids = [torch.tensor(tokenizer.encode(text)) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=tokenizer.pad_id)


@dataclass(frozen=True)
class Sentences:
    """Des phrases d’une seule proposition, prêtes pour le modèle, avec leurs positions.

    `source` (B, S), `target` (B, T) avec le jeton de début, `gloss` (B, S). Les positions sont des
    tenseurs (B,) ; `feminine` vaut vrai où le pronom attendu est « elle ».
    """

    source: Tensor
    target: Tensor
    gloss: Tensor
    pronoun: Tensor
    adjective: Tensor
    french_pronoun: Tensor
    feminine: Tensor
    referent: Tensor  # (B, S) vrai sur le groupe du nom désigné : article, couleur, nom
    other: Tensor  # (B, S) vrai sur le groupe de l’autre nom
    agent: Tensor  # (B, S) vrai sur le groupe de l’animal
    place: Tensor  # (B, S) vrai sur le groupe du lieu

    def at(self, positions: Tensor) -> Tensor:
        """Masque (B, S) d’une position par phrase."""
        return at_positions(positions, self.source.shape[1])


def prepare(pairs: Sequence[TranslationPair], words: Vocabulary) -> Sentences:
    """Met en tenseurs des phrases d’une proposition."""
    clauses = [pair.clauses[0] for pair in pairs]
    target = rows([pair.french for pair in pairs], words.french)
    begin = torch.full((len(pairs), 1), words.french.bos_id)
    source = rows([pair.english for pair in pairs], words.english)

    def column(value: Callable) -> Tensor:
        return torch.tensor([value(clause) for clause in clauses])

    def group(name: Callable) -> Tensor:
        mask = torch.zeros(source.shape, dtype=torch.bool)
        for row, (pair, clause) in enumerate(zip(pairs, clauses, strict=True)):
            mask[row, noun_group(pair.english.split(), getattr(clause, name(clause)))] = True
        return mask

    return Sentences(
        source=source,
        target=torch.cat([begin, target], dim=1),
        gloss=rows([pair.gloss for pair in pairs], words.gloss),
        pronoun=column(lambda c: c.pronoun),
        adjective=column(lambda c: c.adjective),
        french_pronoun=column(lambda c: c.french_pronoun),
        feminine=column(lambda c: c.gender == "f"),
        referent=group(lambda c: c.referent),
        other=group(lambda c: "place" if c.referent == "agent" else "agent"),
        agent=group(lambda c: "agent"),
        place=group(lambda c: "place"),
    )


def noun_group(words: Sequence[str], noun: int) -> list[int]:
    """Positions de l’article, de l’éventuelle couleur et du nom, lui-même à la position `noun`."""
    start = max(i for i in range(noun + 1) if words[i] == "the")
    return list(range(start, noun + 1))


def load_results(path: Path = RESULTS) -> dict:
    """Les mesures livrées avec le cours. FileNotFoundError si elles manquent."""
    return load_records(path)


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
