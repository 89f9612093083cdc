"""Découper un texte en jetons : mots, caractères ou sous-mots (BPE), avec une même interface."""

from pathlib import Path

from course_lib.tokenization.base import Tokenizer
from course_lib.tokenization.bpe import BPETokenizer
from course_lib.tokenization.files import read_json
from course_lib.tokenization.wordpiece import WordPieceTokenizer
from course_lib.tokenization.words import CharTokenizer, WordTokenizer

__all__ = [
    "BPETokenizer",
    "CharTokenizer",
    "Tokenizer",
    "WordPieceTokenizer",
    "WordTokenizer",
    "load_tokenizer",
    "tokenizer_from_content",
]


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Relit un fichier de tokeniseur et choisit la classe d’après son contenu.

    FileNotFoundError si le fichier manque, ValueError si son contenu ne convient pas.
    """
    content = read_json(path)
    try:
        return tokenizer_from_content(content)
    except ValueError as error:
        raise ValueError(f"« {path} » : {error}") from None


def tokenizer_from_content(content: dict) -> Tokenizer:
    """Le tokeniseur que décrit un contenu lu par `read_json`. ValueError s’il ne convient pas."""
    kind = content["model"].get("type")
    if kind == "BPE":
        return BPETokenizer.from_json(content)
    if kind == "WordPiece":
        return WordPieceTokenizer.from_json(content)
    if kind != "WordLevel":
        raise ValueError(
            f"modèle de tokeniseur {kind!r} non pris en charge "
            "(attendu « BPE », « WordPiece » ou « WordLevel »)."
        )
    try:
        return CharTokenizer.from_json(content)
    except ValueError:
        return WordTokenizer.from_json(content)
