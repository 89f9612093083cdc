"""Du texte d’un lecteur aux jetons d’un modèle : lire, découper, réserver la validation.

Les jetons vont dans un fichier compact, projeté en mémoire : un long texte n’est découpé qu’une
fois, et les processus d’une équipe s’en partagent un seul exemplaire.
"""

import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from course_lib.commands.characters import array_encoder, train_characters
from course_lib.commands.folder_lock import FolderLock
from course_lib.commands.text_pieces import TextFile
from course_lib.files import atomic, write_json
from course_lib.tokenization import BPETokenizer, Tokenizer, WordTokenizer, load_tokenizer
from course_lib.tokenization.shared import SharedTokenizer
from course_lib.training.data import TokenStream

VALIDATION_SHARE = 0.1
_LARGE = 5_000_000  # octets : au-delà, les morceaux de mots valent mieux que les lettres
_DEFAULT_VOCABULARY = {"bpe": 2048, "word": 8000}
_TOKENS, _TOKENIZER, _SUMMARY = "tokens.bin", "tokenizer.json", "text.json"
_FORMAT = 2
MERGES_LEARNED_ON = 20_000_000  # caractères : d’un plus long texte, un morceau sur deux, trois…
_PIECE = 1 << 20  # caractères découpés d’un coup


@dataclass(frozen=True)
class TextSettings:
    """Ce qui décide des jetons d’un texte. `kind` : « char », « bpe », « word » ou « model ».

    `digest` : l’empreinte d’un tokeniseur déjà appris, celui d’un modèle que l’on continue.
    """

    kind: str
    vocab_size: int | None = None
    encoding: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class PreparedText:
    """Un texte prêt à apprendre : son découpage, la partie apprise, la partie réservée."""

    tokenizer: object
    kind: str
    training: TokenStream
    validation: TokenStream
    n_validation_characters: int
    unknown_share: float  # part des jetons de validation hors du vocabulaire

    @property
    def validation_sample(self) -> TokenStream:
        """Au plus 200 000 jetons de validation : de quoi suivre l’entraînement sans le ralentir."""
        stream = self.validation
        return TokenStream(stream.ids[:200_001], stream.context_length, stream.batch_size)


def default_kind(file: TextFile) -> str:
    """Le découpage d’un texte quand on n’en demande aucun."""
    return "char" if file.n_bytes <= _LARGE else "bpe"


def check_length(file: TextFile, context_length: int) -> None:
    """ValueError si le texte est trop court pour ce contexte."""
    if file.n_bytes < _LARGE and file.n_characters < 10 * (context_length + 1):
        room = file.n_characters // 10 - 1
        shorter = f" ou réduisez --context-length : {room} au plus" if room >= 1 else ""
        raise ValueError(
            f"Le texte de « {file.path} » compte {file.n_characters} caractères ; il en faut au "
            f"moins {10 * (context_length + 1)} pour --context-length {context_length}. Donnez un "
            f"texte plus long{shorter}."
        )


def prepare_text(
    file: TextFile,
    settings: TextSettings,
    folder: Path,
    context_length: int,
    batch_size: int,
    seed: int,
    progress: bool = False,
    tokenizer: Tokenizer | SharedTokenizer | None = None,
) -> PreparedText:
    """Apprend le découpage, découpe le texte dans `folder`, sépare les derniers 10 %.

    Déjà faits pour ce texte et ces réglages, les fichiers de `folder` sont relus. Les morceaux et
    les mots ne sont appris que sur la partie d’entraînement ; les morceaux d’un très long texte,
    sur 20 millions de caractères pris tout du long. L’alphabet, lui, est celui du texte entier :
    connaître les lettres n’est pas connaître le texte. `tokenizer` : un découpage déjà appris, qui
    sert tel quel. ValueError si le texte est trop court pour le contexte.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"format": _FORMAT, "sha256": file.sha256, **asdict(settings)}
    with FolderLock(folder, wait=True):  # chaque processus d’une équipe passe ici
        summary = _read_summary(folder, identity)
        if summary is None:
            summary = _build(file, settings, folder, _follow(file, progress), tokenizer) | identity
            write_json(folder / _SUMMARY, summary)
    tokenizer = tokenizer or load_tokenizer(folder / _TOKENIZER)
    return _open(folder, summary, tokenizer, context_length, batch_size, seed)


def is_prepared(file: TextFile, settings: TextSettings, folder: Path) -> bool:
    """Vrai si `prepare_text` n’aura qu’à relire."""
    identity = {"format": _FORMAT, "sha256": file.sha256, **asdict(settings)}
    return _read_summary(folder, identity) is not None


def _read_summary(folder: Path, identity: dict) -> dict | None:
    """Le résumé de ce qui est déjà découpé ; None s’il manque, est abîmé ou d’un autre texte."""
    try:
        summary = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
        known = {name: summary[name] for name in identity} == identity
        return summary if known and _checksum(folder) == summary["checksum"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(
    file: TextFile, settings: TextSettings, folder: Path, follow: Callable, tokenizer=None
) -> dict:
    cut = round(file.n_characters * (1 - VALIDATION_SHARE))
    if tokenizer is None:
        tokenizer = _train_tokenizer(settings, file, cut, follow)
        tokenizer.declare_no_start()  # le texte appris est d’un seul tenant : aucun <bos> n’y est
    dtype = np.dtype("int16" if tokenizer.vocab_size <= 1 << 15 else "int32")
    (folder / _SUMMARY).unlink(missing_ok=True)  # plus rien de valable tant que tout n’y est pas
    for leftover in folder.glob(f".{_TOKENS}.*.tmp"):
        leftover.unlink()
    n_unknown = 0
    encode = array_encoder(tokenizer)
    encoded = follow((file.before(cut), file.after(cut)), "Découpage du texte")
    counts = [0, 0]
    with atomic(folder / _TOKENS) as temporary, temporary.open("wb") as tokens:
        for part, piece in encoded:
            ids = encode(piece).astype(dtype)
            tokens.write(ids.tobytes())
            counts[part] += len(ids)
            if part == 1 and tokenizer.unk_id is not None:
                n_unknown += int((ids == tokenizer.unk_id).sum())
    tokenizer.save(folder / _TOKENIZER)
    return {
        "dtype": dtype.name,
        "n_training": counts[0],
        "n_validation": counts[1],
        "n_validation_characters": file.n_characters - cut,
        "n_unknown": n_unknown,
        "checksum": _checksum(folder),
    }


def _train_tokenizer(settings: TextSettings, file: TextFile, cut: int, follow: Callable):
    def read(pieces: Iterator[str]) -> Iterator[str]:
        return (piece for _, piece in follow((pieces,), "Apprentissage du découpage"))

    if settings.kind == "char":
        return train_characters(read(file.pieces()))
    vocab_size = settings.vocab_size or _DEFAULT_VOCABULARY[settings.kind]
    if settings.kind == "word":
        return WordTokenizer.train(read(file.before(cut)), vocab_size=vocab_size)
    kept_one_in = -(-cut // MERGES_LEARNED_ON)
    sample = itertools.islice(read(file.before(cut)), 0, None, kept_one_in)
    return BPETokenizer.train(sample, vocab_size=vocab_size)


def _open(
    folder: Path, summary: dict, tokenizer, context_length: int, batch_size: int, seed: int
) -> PreparedText:
    n_training, n_validation = summary["n_training"], summary["n_validation"]
    if n_training <= context_length:
        raise ValueError(
            f"Le texte ne donne que {n_training} jetons d’entraînement : il en faut plus de "
            f"{context_length}, la longueur du contexte. Donnez un texte plus long ou réduisez "
            f"--context-length : {n_training - 1} au plus."
        )
    if not n_validation:
        raise ValueError(
            "Les derniers 10 % du texte, réservés à la validation, ne donnent aucun jeton : ce ne "
            "sont que des espaces. Ôtez-les de la fin du fichier."
        )
    ids = np.memmap(folder / _TOKENS, dtype=summary["dtype"], mode="r")
    # Le dernier jeton appris sert de contexte au premier jeton de validation.
    held_out = TokenStream(ids[n_training - 1 :], context_length, 4 * batch_size)
    return PreparedText(
        tokenizer,
        summary["kind"],
        TokenStream(ids[:n_training], context_length, batch_size, seed),
        held_out,
        summary["n_validation_characters"],
        summary["n_unknown"] / n_validation,
    )


def _follow(file: TextFile, enabled: bool) -> Callable:
    """De quoi parcourir des suites de morceaux en montrant où l’on en est."""

    def follow(parts: Iterable[Iterator[str]], what: str) -> Iterator[tuple[int, str]]:
        total = file.n_characters if enabled else None
        bar_format = "{desc} {percentage:3.0f} % |{bar}| {elapsed} passé, {remaining} restant"
        with tqdm(
            total=total, desc=what, disable=not enabled, leave=False, bar_format=bar_format
        ) as bar:
            for number, pieces in enumerate(parts):
                for piece in pieces:
                    yield number, piece
                    bar.update(len(piece))

    return follow


def _checksum(folder: Path) -> int:
    """L’empreinte de ce qui est découpé, et du découpage : l’un sans l’autre ne vaut rien."""
    value = 0
    for name in (_TOKENS, _TOKENIZER):
        with (folder / name).open("rb") as file:
            while block := file.read(_PIECE):
                value = zlib.crc32(block, value)
    return value
