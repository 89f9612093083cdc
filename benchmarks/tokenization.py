"""Temps de tokenisation, en rapport avec la bibliothèque `tokenizers`, dans la même exécution.

On apprend et l’on encode un texte ordinaire, puis un texte sans espace, de plus en plus long : le
coût doit croître comme lui. On décode enfin au fil de l’eau, selon la taille du vocabulaire. Le
tableau est aussi écrit dans benchmarks/resultats/tokenization.md.

    python benchmarks/tokenization.py [--corpus mon_texte.txt] [--merges 2048]

Sans --corpus, le texte est tiré au hasard : des mots inventés, de fréquences zipfiennes.
Référence : une bibliothèque écrite en Rust ; la nôtre est en Python pur.
"""

import os
import random
import tempfile
import time
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # un seul cœur de chaque côté, avant l’import
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from report import markdown_table, write_report
from tokenizers import decoders, models, pre_tokenizers, trainers

from course_lib.arguments import FrenchArgumentParser
from course_lib.tokenization import BPETokenizer
from course_lib.tokenization.shared import SharedTokenizer
from course_lib.tokenization.streaming import IncrementalDecoder
from course_lib.typography import format_number

REPORT = Path(__file__).parent / "resultats" / "tokenization.md"
SPACELESS = (10_000, 100_000)  # signes d’un texte sans espace
VOCABULARIES = (32_768, 131_072, 262_144)
N_DECODED = 2_000


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
    """Le résultat d’un appel et sa durée en secondes."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def row(what: str, mine: float, other: float, unit: float = 1.0) -> list[str]:
    """Une ligne du tableau : les deux durées dans l’unité voulue, et leur rapport."""
    return [what, *(format_number(t / unit, 2) for t in (mine, other)), ratio(mine, other)]


def ratio(mine: float, other: float) -> str:
    """Combien de fois la référence va plus vite."""
    return format_number(mine / other, 1)


def learn_and_encode(name: str, text: str, vocab_size: int) -> list[list[str]]:
    """Deux lignes, une fois vérifié que le même fichier donne les mêmes ids."""
    ours, our_training = timed(BPETokenizer.train, [text], vocab_size)
    _, their_training = timed(train_reference, text, vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        ours.save(path)
        same = tokenizers.Tokenizer.from_file(str(path))
    ids, our_encoding = timed(ours.encode, text)
    expected, their_encoding = timed(lambda: same.encode(text).ids)
    assert ids == expected
    return [
        row(f"apprendre, {name} (s)", our_training, their_training),
        row(f"encoder, {name} (s)", our_encoding, their_encoding),
    ]


def decode_one_by_one(vocab_size: int) -> list[str]:
    """Le coût d’un jeton décodé au fil de l’eau, en microsecondes."""
    vocabulary = {f"▁m{i}": i for i in range(vocab_size)}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="▁m0"))
    backend.decoder = decoders.Metaspace()
    ids = range(vocab_size - N_DECODED, vocab_size)
    ours = IncrementalDecoder(SharedTokenizer(backend))
    theirs = decoders.DecodeStream()
    written, mine = timed(lambda: [ours.feed(token_id) for token_id in ids])
    expected, other = timed(lambda: [theirs.step(backend, token_id) for token_id in ids])
    assert "".join(written) + ours.finish() == "".join(piece or "" for piece in expected)
    name = f"décoder un jeton, vocabulaire de {format_number(vocab_size, 0)} (µs)"
    return row(name, mine, other, N_DECODED * 1e-6)


def main() -> None:
    """Mesure, affiche le tableau et l’écrit."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="fichier texte en UTF-8", metavar="FICHIER")
    parser.add_argument("--merges", type=int, default=2048, help="nombre de fusions", metavar="N")
    options = parser.parse_args()
    text = options.corpus.read_text(encoding="utf-8") if options.corpus else generate_corpus()
    size, merges = format_number(len(text), 0), format_number(options.merges, 0)
    rows = learn_and_encode(f"{size} caractères", text, 259 + options.merges)
    glued = "".join(filter(str.isalpha, text))
    for n in SPACELESS:
        rows += learn_and_encode(f"{format_number(n, 0)} signes sans espace", glued[:n], 1024)
    rows += [decode_one_by_one(vocab_size) for vocab_size in VOCABULARIES]
    note = (
        f"Refaire : `python benchmarks/tokenization.py`. Un seul cœur ; {merges} fusions, 765 "
        "pour les textes sans espace. Référence : la bibliothèque `tokenizers`, en Rust ; la nôtre "
        "est en Python pur. Les ids et les textes décodés sont les mêmes des deux côtés."
    )
    table = markdown_table(("travail", "cours", "tokenizers", "rapport"), rows)
    write_report(REPORT, "Découper", note, table)


if __name__ == "__main__":
    main()
