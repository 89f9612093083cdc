"""Lire un texte morceau par morceau : deux cents mégaoctets ne tiennent pas tous en mémoire.

Mis bout à bout, les morceaux sont le texte que rend `read_text`. On ne coupe que devant une espace
qui suit un signe : là où aucun tokeniseur de la commande ne lirait autre chose d’un seul tenant, et
où la forme composée (NFC) ne change rien.
"""

import codecs
import hashlib
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from course_lib.corpora import read_text

STREAMED = 16 << 20  # octets : au-delà, on lit par morceaux
_BLOCK = 1 << 20
_CONTROLS = bytes(code for code in (*range(32), 127) if chr(code) not in "\t\n\r\f\x0b\x1a")
_MARKUP_SUFFIXES = {".jsonl", ".json", ".csv", ".tsv", ".html", ".htm", ".xml", ".rtf", ".pdf"}


class TextFile:
    """Un fichier de texte : son empreinte, sa longueur, ses morceaux.

    Un long texte en UTF-8 se lit par morceaux ; tout autre est lu d’un coup par `read_text`, dont
    ce sont les refus.
    """

    def __init__(self, path, encoding: str | None = None):
        self.path, self.encoding = Path(path), encoding
        self._whole = None
        if not self.path.is_file() or self.path.stat().st_size < STREAMED:
            self._whole = self._read()

    @property
    def n_bytes(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """L’empreinte du fichier, octet par octet."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def n_characters(self) -> int:
        """Longueur du texte lu."""
        return sum(map(len, self.pieces()))

    def pieces(self) -> Iterator[str]:
        """Les morceaux, dans l’ordre."""
        if self._whole is None and not self._is_plain:
            self._whole = self._read()
        return iter([self._whole]) if self._whole is not None else _pieces(self.path)

    def before(self, cut: int) -> Iterator[str]:
        """Les morceaux du texte qui précède le caractère `cut`."""
        position = 0
        for piece in self.pieces():
            if position >= cut:
                return
            yield piece[: cut - position]
            position += len(piece)

    def after(self, cut: int) -> Iterator[str]:
        """Les morceaux du texte à partir du caractère `cut`."""
        position = 0
        for piece in self.pieces():
            if position + len(piece) > cut:
                yield piece[max(0, cut - position) :]
            position += len(piece)

    @cached_property
    def _is_plain(self) -> bool:
        """Vrai pour un long texte brut en UTF-8, que l’on peut lire par morceaux."""
        if self.encoding is not None and codecs.lookup(self.encoding).name not in (
            "utf-8",
            "utf-8-sig",
        ):
            return False
        return self.path.suffix.lower() not in _MARKUP_SUFFIXES and _is_plain_utf8(self.path)

    def _read(self) -> str:
        return read_text(self.path)


def _is_plain_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        head = file.read(256).removeprefix(codecs.BOM_UTF8).lstrip()
        if head[:1] in (b"{", b"[", b"<", b"%") or head.startswith(rb"\rtf"):
            return False  # du balisage : à `read_text` de dire ce qu’il en tire
        file.seek(0)
        while block := file.read(_BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return False
            if len(block.translate(None, _CONTROLS)) < len(block):
                return False
    return not decoder.getstate()[0]  # un caractère resté incomplet


def _pieces(path: Path) -> Iterator[str]:
    rest = ""
    with path.open(encoding="utf-8-sig") as file:
        while block := file.read(_BLOCK):
            rest += block
            cut = _safe_cut(rest)
            if cut:
                yield unicodedata.normalize("NFC", rest[:cut])
                rest = rest[cut:]
    if rest:
        yield unicodedata.normalize("NFC", rest)


def _safe_cut(text: str) -> int:
    """La dernière place où couper : devant une espace qui suit un signe ; 0 sans aucune."""
    place = len(text)
    while place > 0:
        place = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place))
        if place > 0 and not text[place - 1].isspace():
            return place
    return 0
