"""Ouvrir le fichier de l’utilisateur : son chemin, son espèce, sa taille, sa compression."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from course_lib.corpora.user_text.signatures import refuse_known_format

CHUNK = 2**20
HEAD = 2**16  # ce qu’on lit du début pour reconnaître un format
_OPENERS = (
    (rb"\x1f\x8b\x08", gzip.open),
    (rb"BZh[1-9]1AY&SY", bz2.open),
    (rb"\xfd7zXZ\x00", lzma.open),
)
_DAMAGED = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)


def user_path(path: str | os.PathLike) -> Path:
    """Le chemin, « ~ » développé ; TypeError, ou FileNotFoundError s’il manque."""
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise TypeError(f"path = {path!r} : donnez le chemin d’un fichier, une chaîne ou un Path.")
    if not str(path).strip():
        raise ValueError("Chemin vide : donnez le chemin d’un fichier texte.")
    if str(path).startswith(("http://", "https://")):
        raise FileNotFoundError(
            f"« {path} » est une adresse du web. Téléchargez le fichier (curl -LO {path}), puis "
            "donnez son chemin."
        )
    try:
        path = Path(path).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"Fichier introuvable : « {path} ». Vérifiez le chemin et le nom."
        ) from None
    except (ValueError, RuntimeError, OSError) as error:
        raise cannot_open(path, error) from error
    return path


def cannot_open(path: Path, error: Exception) -> Exception:
    if isinstance(error, PermissionError):
        return PermissionError(
            f"Lecture interdite : « {path} ». Donnez-vous le droit de le lire (chmod u+r), ou "
            "copiez-le dans un de vos dossiers."
        )
    if isinstance(error, OSError):
        code = errno.errorcode.get(error.errno, error.errno)
        return OSError(f"« {str(path)[:200]} » ne s’ouvre pas : erreur {code} du système.")
    return ValueError(f"Chemin inutilisable : {str(path)!r}. Vérifiez le chemin et le nom.")


def memory_limit() -> int:
    """Taille, en octets, au-delà de laquelle un texte et ce qu’on en fait n’y tiendraient pas."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows ne le dit pas
        return 2**33


class Source:
    """Un fichier texte que l’on parcourt par morceaux, autant de fois qu’il le faut.

    Il n’est jamais tenu entier en mémoire. Erreurs : ValueError pour un tube, un périphérique, un
    format binaire connu ou une archive ; PermissionError, OSError s’il ne s’ouvre pas.
    """

    def __init__(self, path: Path):
        self.path, self.notices, self._member = path, [], None
        try:
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):
                raise ValueError(
                    f"« {path} » n’est pas un fichier ordinaire (tube ou périphérique). "
                    "Enregistrez le texte dans un fichier, puis donnez son chemin."
                )
            self._check_size(state.st_size)
            with path.open("rb") as stream:
                head = stream.read(HEAD)
        except OSError as error:
            raise cannot_open(path, error) from error
        self.name = path.name
        self._open = next((o for magic, o in _OPENERS if re.match(magic, head)), None)
        if head.startswith(b"PK\x03\x04") and refuse_known_format(head, path, zipped=True):
            self._choose_member()
        if self._open or self._member:
            self.name = self._member or path.stem
            self.notices.append(f"Fichier décompressé : « {path.name} » contient « {self.name} ».")
            head = next(self.chunks(), b"")
        self.head = head
        refuse_known_format(head, path)

    def chunks(self) -> Iterator[bytes]:
        """Les octets du texte, par morceaux d’un mébioctet au plus."""
        total = 0
        try:
            with self._stream() as stream:
                while chunk := stream.read(CHUNK):
                    total += len(chunk)
                    self._check_size(total)
                    yield chunk
        except _DAMAGED as error:
            if isinstance(error, ValueError) and str(self.path) in str(error):
                raise  # une limite dépassée, déjà dite en français
            if not (self._open or self._member):
                raise cannot_open(self.path, error) from error
            raise ValueError(
                f"Le fichier compressé « {self.path} » est abîmé ou incomplet. Téléchargez-le de "
                "nouveau, ou décompressez-le vous-même."
            ) from error

    def read(self) -> bytes:
        """Tous les octets du texte."""
        return b"".join(self.chunks())

    def _stream(self) -> BinaryIO:
        if self._member:
            return zipfile.ZipFile(self.path).open(self._member)
        return (self._open or open)(self.path, "rb")

    def _check_size(self, size: int) -> None:
        if size > memory_limit():
            raise ValueError(
                f"Le texte de « {self.path} » dépasse {memory_limit() // 2**20} Mio : il ne "
                "tiendrait pas en mémoire. Découpez-le (split -C 1G) et donnez-en une partie."
            )

    def _choose_member(self) -> None:
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
        except _DAMAGED as error:
            raise ValueError(
                f"L’archive « {self.path} » est abîmée ou incomplète. Téléchargez-la de nouveau."
            ) from error
        names = [name for name in names if not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise ValueError(
                f"L’archive « {self.path} » contient {len(names)} fichiers. Décompressez-la "
                f"(unzip {self.path.name} -d dossier), puis donnez un fichier ou le dossier."
            )
        self._member = names[0]
