"""Les trois modèles de l’expérience et leur entraînement, avec leurs réglages.

Le traducteur et le réseau récurrent lisent les mêmes phrases dans le même ordre, le même nombre de
fois : c’est le « budget égal » du chapitre.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from course_experiments.halved_weights import load_halved
from course_experiments.pronoun.task import (
    DATA_SEED,
    TEST_SEED,
    WEIGHTS,
    Sentences,
    Vocabulary,
    prepare,
    vocabulary,
)
from course_lib.corpora import generate_pairs
from course_lib.recurrent import RecurrentSeq2Seq
from course_lib.training import (
    AlignedBatches,
    History,
    PairBatches,
    TrainingConfig,
    sequence_to_sequence_loss,
    token_loss,
    train,
)
from course_lib.transformer import (
    Encoder,
    EncoderDecoder,
    OriginalTransformerConfig,
    original_encoder,
    original_transformer,
)


@dataclass(frozen=True)
class Recipe:
    """Ce qui décide d’un entraînement : phrases, propositions par phrase, lots, pas, taux."""

    n_sentences: int
    n_clauses: tuple[int, ...]
    batch_size: int
    n_steps: int
    learning_rate: float


TRANSLATOR = Recipe(20_000, (1, 2), batch_size=32, n_steps=1100, learning_rate=2e-3)
# Le meilleur des trois taux essayés pour lui (0,002, 0,008 et 0,02) ; tout le reste est pareil.
RECURRENT = replace(TRANSLATOR, learning_rate=8e-3)
GLOSS = Recipe(20_000, (1,), batch_size=32, n_steps=1000, learning_rate=2e-3)
RECIPES = {
    "gloss": GLOSS,
    "translator": TRANSLATOR,
    "gru_attention": RECURRENT,
    "gru": RECURRENT,
}
RECURRENT_HIDDEN_SIZE = {True: 136, False: 160}  # avec, sans attention : 263 000 paramètres chacun


def build_translator(words: Vocabulary, seed: int = 0) -> EncoderDecoder:
    """L’encodeur-décodeur : 2 + 2 blocs, 4 têtes, 64 dimensions."""
    return original_transformer(_sizes(words, words.french.vocab_size), seed)


def build_gloss_encoder(words: Vocabulary, seed: int = 0) -> Encoder:
    """L’encodeur seul : 3 blocs d’une tête, 64 dimensions."""
    config = _sizes(words, words.gloss.vocab_size)
    return original_encoder(replace(config, n_encoder_layers=3, n_heads=1), seed)


def build_recurrent(words: Vocabulary, attention: bool, seed: int = 0) -> RecurrentSeq2Seq:
    """Le traducteur récurrent (GRU), avec ou sans attention."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = (64, RECURRENT_HIDDEN_SIZE[attention])
        vocabularies = (words.english.vocab_size, words.french.vocab_size)
        return RecurrentSeq2Seq(*vocabularies, *sizes, "gru", attention, words.english.pad_id)


def _sizes(words: Vocabulary, target_vocab_size: int) -> OriginalTransformerConfig:
    return OriginalTransformerConfig(
        words.english.vocab_size,
        target_vocab_size,
        context_length=128,
        d_model=64,
        n_encoder_layers=2,
        n_decoder_layers=2,
        n_heads=4,
        d_ff=256,
        dropout=0.0,
        norm_first=True,
        pad_id=words.english.pad_id,
    )


def train_translator(
    seed: int = 0,
    recipe: Recipe = TRANSLATOR,
    eval_every: int = 0,
    progress: bool = True,
    stop_at: int | None = None,
) -> tuple[EncoderDecoder, History]:
    """Entraîne un traducteur ; le journal suit, tous les `eval_every` pas, pronoms et autres mots.

    Les mesures `pronoun` et `other_words` sont des taux de réussite sur des phrases d’une
    proposition dont les couples nom–adjectif n’ont jamais été vus. Avec `stop_at`, on s’arrête
    après les premiers pas, qui sont ceux de l’entraînement entier.
    """
    words = vocabulary()
    model = build_translator(words, seed)
    return model, _train_pairs(model, words, seed, recipe, eval_every, progress, stop_at)


def load_translator(path: Path = WEIGHTS) -> EncoderDecoder:
    """Le traducteur livré : celui de la première graine, en demi-précision.

    FileNotFoundError s’il manque : le message donne la commande qui le refait.
    """
    command = "python -m course_experiments.pronoun --models translator --seeds 0"
    return load_halved(build_translator(vocabulary()), path, command)


def train_recurrent(
    attention: bool,
    seed: int = 0,
    recipe: Recipe = RECURRENT,
    eval_every: int = 0,
    progress: bool = True,
) -> tuple[RecurrentSeq2Seq, History]:
    """Entraîne un traducteur récurrent sur les phrases du traducteur, dans le même ordre."""
    words = vocabulary()
    model = build_recurrent(words, attention, seed)
    return model, _train_pairs(model, words, seed, recipe, eval_every, progress)


def train_gloss_encoder(
    seed: int = 0, recipe: Recipe = GLOSS, progress: bool = True
) -> tuple[Encoder, History]:
    """Entraîne l’encodeur à la glose : sous chaque mot anglais, son mot français."""
    words = vocabulary()
    pairs = training_pairs(recipe)
    data = AlignedBatches(
        [words.english.encode(pair.english) for pair in pairs],
        [words.gloss.encode(pair.gloss) for pair in pairs],
        recipe.batch_size,
        seed,
        pad_id=words.english.pad_id,
    )
    model = build_gloss_encoder(words, seed)
    return model, train(model, data, _config(recipe, seed), loss=token_loss, progress=progress)


def training_pairs(recipe: Recipe) -> list:
    """Les phrases d’entraînement, en nombre égal pour chaque longueur."""
    share = recipe.n_sentences // len(recipe.n_clauses)
    return [
        pair
        for n_clauses in recipe.n_clauses
        for pair in generate_pairs(share, split="train", n_clauses=n_clauses, seed=DATA_SEED)
    ]


def _train_pairs(model, words, seed, recipe, eval_every, progress, stop_at=None) -> History:
    pairs = training_pairs(recipe)
    special = (words.english.pad_id, words.french.bos_id, words.french.eos_id)
    data = PairBatches(
        [words.english.encode(pair.english) for pair in pairs],
        [words.french.encode(pair.french) for pair in pairs],
        recipe.batch_size,
        seed,
        *special,
    )
    held_out = prepare(generate_pairs(200, "held_out", n_clauses=1, seed=TEST_SEED), words)
    return train(
        model,
        data,
        _config(recipe, seed, eval_every),
        loss=sequence_to_sequence_loss,
        evaluate=lambda network: word_accuracies(network, held_out, words),
        progress=progress,
        stop_at=stop_at,
    )


def word_accuracies(model, sentences: Sentences, words: Vocabulary) -> dict[str, float]:
    """Part des mots justes, le bon début de phrase étant donné : le pronom, et tous les autres."""
    predicted = model(sentences.source, sentences.target[:, :-1]).argmax(-1)  # (B, T)
    expected = sentences.target[:, 1:]
    right, real = predicted == expected, expected != words.french.pad_id
    position = torch.arange(expected.shape[1])
    is_pronoun = position == sentences.french_pronoun[:, None]
    return {
        "pronoun": right[is_pronoun].float().mean().item(),
        "other_words": right[real & ~is_pronoun].float().mean().item(),
    }


def _config(recipe: Recipe, seed: int, eval_every: int = 0) -> TrainingConfig:
    return TrainingConfig(
        n_steps=recipe.n_steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=100,
        min_learning_rate_ratio=0.1,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        eval_every=eval_every,
        seed=seed,
        n_threads=1,
    )


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
