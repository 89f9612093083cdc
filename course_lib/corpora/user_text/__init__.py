"""Lire le texte de l’utilisateur : bien lu, ou refusé en disant pourquoi ; jamais modifié.

Le fichier n’est ouvert qu’en lecture : rien n’y est jamais écrit. `files` l’ouvre, `decoding` en
trouve l’encodage, `extraction` tire le texte d’une page ou d’un tableau.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from course_lib.corpora.user_text.decoding import decode
from course_lib.corpora.user_text.extraction import extract
from course_lib.corpora.user_text.files import Source, cannot_open, user_path
from course_lib.corpora.user_text.suspicions import suspicions

# Les lettres accentuées et signes qu’un texte français emploie.
FRENCH_SIGNS = frozenset(
    "àâäæçéèêëîïôöœùûüÿñáíóúÀÂÄÆÇÉÈÊËÎÏÔÖŒÙÛÜŸÑ«»“”‘’…–—€°§·¡¿ºª²³½¼¾×÷±™©®\u00a0\u00ad"
)


class ReadingNotice(UserWarning):
    """Ce que la lecture d’un texte a laissé de côté, choisi ou trouvé douteux."""


@dataclass(frozen=True)
class UserText:
    """Un texte lu, son encodage et, en clair, ce qu’il a fallu en ôter ou y trouver de douteux."""

    text: str
    encoding: str
    notices: tuple[str, ...] = ()


def read_text(path: str | Path, min_length: int = 1, encoding: str | None = None) -> str:
    """Le texte de `read_user_text` ; chacune de ses remarques devient un `ReadingNotice`."""
    read = read_user_text(path, min_length, encoding)
    for notice in read.notices:
        warnings.warn(notice, ReadingNotice, stacklevel=2)
    return read.text


def read_user_text(path: str | Path, min_length: int = 1, encoding: str | None = None) -> UserText:
    """Lit un fichier, ou les .txt d’un dossier ; Unicode NFC, une seule fin de ligne : « \\n ».

    `min_length` : nombre minimal de caractères, par exemple le contexte du modèle plus un.
    `encoding` : un nom d’encodage de Python ; à défaut UTF-8, UTF-16 et UTF-32 sont reconnus, puis
    cp1252, ISO-8859-15, MacRoman, cp850 et cp437 quand le français ne laisse aucun doute. Un
    fichier .gz, .bz2, .xz, ou un .zip d’un seul texte, est décompressé ; d’une page HTML ou TEI,
    d’un cahier Jupyter, d’un tableau JSON, JSONL ou .csv, seul le texte est gardé. Markdown et
    LaTeX sont du texte, lus tels quels. Les .txt d’un dossier sont mis bout à bout dans l’ordre de
    leurs noms, sans visiter ses sous-dossiers.

    Erreurs : FileNotFoundError si le fichier manque ; IsADirectoryError pour un dossier sans
    .txt ; PermissionError, OSError s’il ne s’ouvre pas ; TypeError si `path` n’est pas un chemin ;
    ValueError s’il est vide, binaire, d’encodage incertain, abîmé ou trop court.
    """
    path = user_path(path)
    read = _read_folder(path, encoding) if path.is_dir() else _read_file(path, encoding)
    if not read.text or read.text.isspace():
        raise ValueError(f"Le fichier « {path} » est vide. Donnez un fichier non vide.")
    if len(read.text) < min_length:
        raise ValueError(
            f"Le texte de « {path} » compte {len(read.text)} caractères ; il en faut au moins "
            f"{min_length} pour remplir le contexte. Donnez un texte plus long ou réduisez le "
            "contexte."
        )
    return read


def _read_file(path: Path, encoding: str | None) -> UserText:
    source = Source(path)
    text, encoding, notices = decode(source, encoding)
    text, extracted = extract(text, source)
    return UserText(text, encoding, (*source.notices, *notices, *extracted, *suspicions(text)))


def _read_folder(path: Path, encoding: str | None) -> UserText:
    """Tous les .txt d’un dossier, dans l’ordre de leurs noms (« 2 » avant « 10 »)."""
    try:
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise cannot_open(path, error) from error
    texts = (entry for entry in entries if entry.suffix.lower() == ".txt" and entry.is_file())
    files = sorted(texts, key=_natural_order)
    if not files:
        raise IsADirectoryError(
            f"« {path} » est un dossier sans fichier .txt. Donnez le chemin d’un fichier texte, ou "
            "d’un dossier de fichiers .txt."
        )
    order = f"de « {files[0].name} » à « {files[-1].name} », dans l’ordre des noms"
    left_out = len(entries) - len(files)
    others = f" Laissés de côté dans ce dossier : {left_out}." if left_out else ""
    text, notices = "", [f"Fichiers .txt lus : {len(files)}, {order}.{others}"]
    encodings = set()
    for file in files:
        read = _read_file(file, encoding)
        text += read.text if read.text.endswith("\n") or not read.text else read.text + "\n"
        notices += [f"{file.name} : {notice}" for notice in read.notices]
        encodings.add(read.encoding)
    return UserText(text, ", ".join(sorted(encodings)), tuple(notices))


def _natural_order(path: Path) -> list:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
