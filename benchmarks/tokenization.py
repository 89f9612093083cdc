"""Temps de tokenisation, en rapport avec la bibliothèque `tokenizers`, dans la même exécution.

    python benchmarks/tokenization.py [--corpus mon_texte.txt] [--merges 2048]

Sans --corpus, le texte est tiré au hasard : des mots inventés, de fréquences zipfiennes.
Référence : une bibliothèque écrite en Rust ; la nôtre est en Python pur.
"""

import os
import random
import tempfile
import time
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # un seul cœur de chaque côté, avant l'import
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from course_lib.tokenization import BPETokenizer
from course_lib.training.arguments import FrenchArgumentParser
from course_lib.typography import format_number


def generate_corpus(n_words: int = 200_000, seed: int = 0) -> str:
    """Un texte de mots inventés, tirés selon une loi de Zipf."""
    draw = random.Random(seed)
    syllables = [c + v for c in "bcdfglmnprstv" for v in ("a", "é", "i", "o", "ou", "an")]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(draw.choices(words, weights, k=n_words))


def train_reference(text: str, vocab_size: int) -> tokenizers.Tokenizer:
    """Le même apprentissage par la bibliothèque `tokenizers`."""
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    reference.train_from_iterator([text], trainer)
    return reference


def timed(function, *arguments):
    """Le résultat d'un appel et sa durée en secondes."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def main() -> None:
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="fichier texte en UTF-8")
    parser.add_argument("--merges", type=int, default=2048, help="nombre de fusions")
    options = parser.parse_args()
    text = options.corpus.read_text(encoding="utf-8") if options.corpus else generate_corpus()
    vocab_size = 259 + options.merges
    size, merges = format_number(len(text), 0), format_number(options.merges, 0)
    print(f"Corpus : {size} caractères, {merges} fusions.")
    ours, our_training = timed(BPETokenizer.train, [text], vocab_size)
    reference, their_training = timed(train_reference, text, vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        ours.save(path)
        same = tokenizers.Tokenizer.from_file(str(path))
    ids, our_encoding = timed(ours.encode, text)
    expected, their_encoding = timed(lambda: same.encode(text).ids)
    for name, mine, other in (
        ("Apprentissage", our_training, their_training),
        ("Encodage", our_encoding, their_encoding),
    ):
        seconds, theirs = format_number(mine, 2), format_number(other, 2)
        print(f"{name} : {seconds} s contre {theirs} s, rapport {format_number(mine / other, 2)}.")
    print("Mêmes ids : " + ("oui." if ids == expected else "NON."))
    gap = format_number(len(ids) / len(reference.encode(text).ids), 4)
    print(f"Jetons, les nôtres / ceux du vocabulaire appris par la référence : {gap}.")


if __name__ == "__main__":
    main()
