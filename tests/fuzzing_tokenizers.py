"""Abîmer les fichiers d’un tokeniseur : il est lu comme par `tokenizers`, ou refusé en français.

python tests/fuzzing_tokenizers.py --files 20000
"""

import argparse
import contextlib
import copy
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import tokenizers
from fuzzing import fuzz, surprises
from tokenizers import models, normalizers, pre_tokenizers

from course_lib.pretrained.folders.tokenizers import tokenizer_from_folder
from course_lib.tokenization import (
    BPETokenizer,
    CharTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
)
from course_lib.tokenization.base import Tokenizer
from course_lib.tokenization.shared import SharedTokenizer

CORPUS = ["Le chat dort, l’été.", "la chatte dort 42 fois ; e\u0301té 👩‍🚀"]
TEXTS = ("le chat <eos> dort\n  l’été 42", "e\u0301 👩‍🚀 \x00[SEP]Àb ##a", "")
ODD = (None, True, False, -1, 0, 1, 2**31, 2**63, 2**70, 0.5, "", "a", "Ġ", "[UNK]", [], {}, "\0")
WORDS = ("BPE", "WordPiece", "WordLevel", "Unigram", "ByteLevel", "Sequence", "NFC", "Lowercase")


def seeds() -> dict[str, dict]:
    """Un `tokenizer.json` de chaque sorte, et ce que deviennent deux d’entre eux abîmés."""
    unigram = tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("le", -1.0), ("l", -2.0)], 0))
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    return {
        "BPE": BPETokenizer.train(CORPUS, 270).to_json(),
        "WordPiece": WordPieceTokenizer.train(CORPUS, 60).to_json(),
        "mots": WordTokenizer.train(CORPUS).to_json(),
        "caractères": CharTokenizer.train(CORPUS).to_json(),
        "Unigram": json.loads(unigram.to_str()),
    }


def settings_seed() -> dict:
    """Un `tokenizer_config.json` qui dit un peu de tout."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": {"content": "<eos>", "special": True},
        "pad_token": None,
        "add_prefix_space": False,
        "extra_special_tokens": ["<eos>"],
        "added_tokens_decoder": {"1": {"content": "<bos>", "special": True, "normalized": False}},
    }


def mutate_json(content: dict, draw: random.Random) -> bytes:
    """Une copie dont quelques valeurs sont changées, ôtées, doublées ou échangées."""
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        nodes = list(_nodes(content))
        if not nodes:
            break
        # Les listes longues (vocabulaire, fusions) ne prennent pas tous les tirages.
        small = [pair for pair in nodes if len(pair[0]) < 30]
        parent, key = draw.choice(small if small and draw.random() < 0.7 else nodes)
        other, other_key = draw.choice(nodes)
        action = draw.randrange(5)
        if action == 0:
            del parent[key]
        elif action == 1:
            parent[key] = draw.choice((*ODD, *WORDS))
        elif action == 2:
            parent[key] = copy.deepcopy(other[other_key])
        elif action == 3 and isinstance(parent, dict):
            parent[draw.choice((*WORDS, "id", "type", "a"))] = parent.pop(key)
        elif isinstance(parent[key], bool):
            parent[key] = not parent[key]
        elif isinstance(parent[key], int):
            parent[key] += draw.choice((-1, 1, 100))
        elif isinstance(parent[key], str):
            parent[key] += draw.choice(("a", " ", "é", "▁"))
    return json.dumps(content).encode()


def _nodes(value: object):
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in list(pairs):
        yield value, key
        if isinstance(one, dict | list):
            yield from _nodes(one)


def reader(folder: Path, name: str) -> Callable[[Path], None]:
    """Lit le dossier dont le fichier `name` est celui qu’on lui donne, et compare les ids."""

    def read(path: Path) -> None:
        path.replace(folder / name)
        ours = tokenizer_from_folder(folder)
        content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        compare(ours, content if name == "tokenizer.json" else None)

    return read


def compare(ours: Tokenizer | SharedTokenizer, content: dict | None) -> None:
    """AssertionError si les ids, ou leur texte, ne sont pas ceux de la bibliothèque."""
    theirs = None
    # Si elle refuse, nos classes ont pu lire ce qui importe.
    with contextlib.suppress(BaseException):
        theirs = tokenizers.Tokenizer.from_str(json.dumps(content)) if content else None
    for text in TEXTS:
        ids = ours.encode(text)
        ours.encode_with_spans(text)
        ours.encode_sentence(text)
        decoded = ours.decode(ids)
        if theirs is not None:
            assert ids == theirs.encode(text, add_special_tokens=False).ids, text
            # Nos mots se recollent à la française : la bibliothèque ne sait pas le faire.
            assert isinstance(ours, WordTokenizer) or decoded == theirs.decode(
                ids, skip_special_tokens=False
            ), text


def run(n_files: int, folder: Path, seed: int = 0, progress: bool = False) -> dict[str, dict]:
    """Fichier abîmé → combien ont été lus, refusés, ou ont surpris."""
    outcomes = {}
    for name in ("tokenizer.json", "tokenizer_config.json"):  # sinon le premier essai les écrirait
        (folder / name).write_text("{}", "utf-8")
    for kind, content in seeds().items():
        outcomes[kind] = fuzz(
            reader(folder, "tokenizer.json"), [content], n_files, folder / "abime", seed, progress,
            mutate_json,
        )  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(seeds()["BPE"]), "utf-8")
    outcomes["réglages"] = fuzz(
        reader(folder, "tokenizer_config.json"), [settings_seed()], n_files, folder / "abime", seed,
        progress, mutate_json,
    )  # fmt: skip
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000, help="fichiers abîmés par lecteur")
    parser.add_argument("--seed", type=int, default=0, help="graine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        outcomes = run(options.files, Path(name), options.seed, progress=True)
    for kind, counts in outcomes.items():
        print(kind, json.dumps(dict(counts), ensure_ascii=False, indent=1))
    return int(any(map(surprises, outcomes.values())))


if __name__ == "__main__":
    sys.exit(main())
