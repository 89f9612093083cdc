"""Lire un texte morceau par morceau : deux cents mégaoctets ne tiennent pas tous en mémoire.

Mis bout à bout, les morceaux sont le texte que rend `read_user_text`. On ne coupe que devant une
espace qui suit un signe : là où aucun tokeniseur de la commande ne lirait autre chose d’un seul
tenant, et où la forme composée (NFC) ne change rien.
"""

import codecs
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from course_lib.corpora.user_text import read_user_text
from course_lib.corpora.user_text.mojibake import find_mojibake
from course_lib.corpora.user_text.suspicions import suspicions

STREAMED = 16 << 20  # octets : au-delà, on lit par morceaux
_BLOCK = 1 << 20
_STRANGE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffd]")  # ni texte, ni blanc
# Ce dont `read_user_text` tire le texte d’après son nom.
_MARKUP_SUFFIXES = (
    *(".jsonl", ".json", ".csv", ".tsv", ".tab", ".html", ".htm", ".xhtml", ".xml", ".tei"),
    *(".ipynb", ".eml", ".mbox", ".mht", ".mhtml"),
)


class TextFile:
    """Un texte de l’utilisateur : son empreinte, sa longueur, ses morceaux.

    Un long fichier en UTF-8 se lit par morceaux ; tout autre texte, dossier compris, est lu d’un
    coup par `read_user_text`, dont ce sont les refus. `notices` : ce que la lecture a laissé de
    côté, ou trouvé douteux.
    """

    def __init__(self, path, encoding: str | None = None):
        self.path, self.encoding, self.notices = Path(path).expanduser(), encoding, ()
        self._whole, self._long = None, False
        if self.path.is_file() and self.path.stat().st_size >= STREAMED:
            self._long = True
            if self._is_plain:
                self.notices = tuple(suspicions(next(_pieces(self.path))))
        else:
            self._read()

    @property
    def is_long(self) -> bool:
        """Vrai s’il faut le dire avant de lire : ce sera long."""
        return self._long

    @cached_property
    def n_bytes(self) -> int:
        """Taille du fichier s’il est long ; sinon, celle du texte lu, en UTF-8."""
        return self.path.stat().st_size if self._long else len(self._whole.encode())

    @cached_property
    def sha256(self) -> str:
        """L’empreinte du fichier s’il est long ; sinon, celle du texte lu."""
        if not self._long:
            return hashlib.sha256(self._whole.encode()).hexdigest()
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def n_characters(self) -> int:
        """Longueur du texte lu."""
        return sum(map(len, self.pieces()))

    def pieces(self) -> Iterator[str]:
        """Les morceaux, dans l’ordre."""
        if self._whole is None and not self._is_plain:
            self._read()
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
        return self.path.suffix.lower() not in _MARKUP_SUFFIXES and _is_plain_utf8(
            self.path, forced=self.encoding is not None
        )

    def _read(self) -> None:
        read = read_user_text(self.path, encoding=self.encoding)
        self._whole, self.notices = read.text, read.notices


def _is_plain_utf8(path: Path, forced: bool) -> bool:
    """Vrai si `read_user_text` n’aurait rien à tirer, à ôter, ni à redire de ce fichier."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        head = file.read(256).removeprefix(codecs.BOM_UTF8)
        if head.lstrip()[:1] in (b"{", b"[", b"<", b"%") or head.startswith(rb"{\rtf"):
            return False  # du balisage
        file.seek(0)
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        while block := file.read(_BLOCK):
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError:
                return False
            if _STRANGE.search(text) or (not forced and find_mojibake(text) is not None):
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
