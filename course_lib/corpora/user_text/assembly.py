"""Assembler un texte décodé : une seule fin de ligne, Unicode NFC, et les défauts relevés.

Le texte vient par morceaux et s’allonge sur place : à aucun moment il n’est en mémoire deux fois.
"""

from __future__ import annotations

import io
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator

from course_lib.corpora.user_text.files import Source
from course_lib.corpora.user_text.mojibake import find_mojibake, restored
from course_lib.corpora.user_text.places import character_place

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff]")
_LAST_ASCII = re.compile("[\x00-\x7f][^\x00-\x7f]*$")


def assemble(
    decoded: Iterable[str], source: Source, encoding: str, forced: bool = False
) -> tuple[str, list[str]]:
    """Le texte entier, normalisé, et ses défauts.

    `forced` : l’encodage est imposé par l’utilisateur, les accents mal lus sont alors les siens.
    Erreur : ValueError pour un caractère de commande ou des accents lus deux fois de travers.
    """
    text, n_lost, n_marks = "", 0, 0
    for piece in _whole_pieces(decoded):
        if not forced and (index := find_mojibake(piece)) is not None:
            raise _mojibake_error(text + piece, len(text) + index, source)
        if control := _CONTROL.search(piece):
            raise _control_error(text + piece, len(text) + control.start(), source, encoding)
        n_lost += piece.count("\ufffd")
        n_marks += piece.count("\ufeff", 0 if text else 1)
        text += unicodedata.normalize("NFC", piece.replace("\ufeff", ""))
    notices = []
    if n_marks:
        notices.append(f"Marques d’ordre ôtées du milieu du texte : {n_marks}.")
    if n_lost:
        where = character_place(text, text.index("\ufffd"))
        notices.append(
            f"Lettres perdues avant ce fichier, « \ufffd » : {n_lost} (la première : {where}). "
            "Repartez de l’original si vous l’avez."
        )
    return text, notices


def _whole_pieces(decoded: Iterable[str]) -> Iterator[str]:
    """Les mêmes caractères, coupés avant un signe ASCII : aucune lettre n’y perd son accent."""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    held = ""
    for piece in decoded:
        held += newlines.decode(piece)
        if (last := _LAST_ASCII.search(held, max(0, len(held) - 4096))) and last.start():
            yield held[: last.start()]
            held = held[last.start() :]
    yield (held + newlines.decode("", final=True)).rstrip("\x1a")


def _control_error(text: str, index: int, source: Source, encoding: str) -> ValueError:
    code, where = ord(text[index]), character_place(text, index)
    if 0x80 <= code < 0xA0:
        remedy = "Essayez encoding='cp1252' (--encoding cp1252)."
        if encoding.startswith("utf"):
            name = shlex.quote(str(source.path))
            remedy = (
                f"Réparez-le : iconv -f {encoding.removesuffix('-sig')} -t ISO-8859-1 {name} | "
                "iconv -f CP1252 -t UTF-8 > texte.txt."
            )
        return ValueError(
            f"Le fichier « {source.path} », lu en {encoding}, contient le caractère de commande "
            f"U+{code:04X} ({where}) : du cp1252 pris pour de l’ISO-8859-1. {remedy}"
        )
    return ValueError(
        f"Le fichier « {source.path} » est binaire (il contient des caractères de commande) : "
        f"U+{code:04X}, {where}. Donnez un fichier texte, réenregistré au besoin en UTF-8."
    )


def _mojibake_error(text: str, index: int, source: Source) -> ValueError:
    seen, meant = restored(text, index)
    return ValueError(
        f"Le fichier « {source.path} » contient des accents lus de travers : « {seen} » pour "
        f"« {meant} » ({character_place(text, index)}). S’il l’est d’un bout à l’autre, "
        f"réparez-le : iconv -f UTF-8 -t CP1252 {shlex.quote(str(source.path))} > texte.txt. "
        "Si ces signes sont voulus, donnez l’encodage : encoding='utf-8' (--encoding utf-8)."
    )
