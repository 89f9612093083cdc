"""Les formats qui ne sont pas du texte, reconnus à leurs premiers octets, et quoi en faire."""

from __future__ import annotations

import codecs
import re
import shlex
from pathlib import Path

_PANDOC = "Tirez-en le texte : pandoc {name} -t plain --wrap=none -o texte.txt"
_IMAGE = "Une image n’est pas un texte : passez-la à un outil de reconnaissance (tesseract)"
_UNPACK = "Décompressez-le ({command}), puis donnez le fichier texte"
_WEIGHTS = "Ce sont les poids d’un modèle : donnez le texte à apprendre"
_OTHER = "Donnez un fichier texte"

# (début du fichier, nom du format, remède)
_SIGNATURES = (
    (b"%PDF-", "un PDF", "Tirez-en le texte : pdftotext {name} texte.txt"),
    (
        b"{\\rtf",
        "un document RTF",
        "Tirez-en le texte : pandoc {name} -f rtf -t plain --wrap=none -o texte.txt",
    ),
    (b"%!PS", "du PostScript", "Tirez-en le texte : ps2ascii {name} texte.txt"),
    (
        b"\xd0\xcf\x11\xe0",
        "un ancien document Office",
        "Tirez-en le texte : soffice --convert-to txt {name}",
    ),
    (
        b"SQLite format 3\x00",
        "une base SQLite",
        "Tirez-en le texte : sqlite3 {name} 'SELECT colonne FROM table' > texte.txt",
    ),
    (b"GGUF", "un modèle GGUF", _WEIGHTS),
    (b"PAR1", "un tableau Parquet", "Tirez-en le texte avec pandas.read_parquet"),
    (b"ARROW1", "un tableau Arrow", "Tirez-en le texte avec pyarrow"),
    (b"\x93NUMPY", "un tableau NumPy", _OTHER),
    (b"\x89PNG", "une image PNG", _IMAGE),
    (b"\xff\xd8\xff", "une image JPEG", _IMAGE),
    (b"GIF87a", "une image GIF", _IMAGE),
    (b"GIF89a", "une image GIF", _IMAGE),
    (b"II*\x00", "une image TIFF", _IMAGE),
    (b"MM\x00*", "une image TIFF", _IMAGE),
    (b"AT&TFORM", "un document DjVu", "Tirez-en le texte : djvutxt {name} texte.txt"),
    (b"\x7fELF", "un programme", _OTHER),
    (b"\xcf\xfa\xed\xfe", "un programme", _OTHER),
    (b"\xca\xfe\xba\xbe", "un programme", _OTHER),
    (b"OggS", "un son", _OTHER),
    (b"ID3", "un son", _OTHER),
    (b"fLaC", "un son", _OTHER),
    (b"7z\xbc\xaf\x27\x1c", "une archive 7z", _UNPACK.format(command="7z x")),
    (b"Rar!\x1a\x07", "une archive RAR", _UNPACK.format(command="unrar x")),
    (b"\x28\xb5\x2f\xfd", "un fichier zstd", _UNPACK.format(command="zstd -d")),
    (b"PK\x05\x06", "une archive vide", _OTHER),
    (
        b"version https://git-lfs.github.com/spec/",
        "un renvoi Git LFS, non le fichier lui-même",
        "Téléchargez le fichier : git lfs pull",
    ),
)
_OFFICE = {
    b"word/": "un document Word (.docx)",
    b"META-INF/container.xml": "un livre EPUB",
    b"application/epub": "un livre EPUB",
    b"application/vnd.oasis": "un document OpenDocument",
    b"xl/": "un classeur Excel (.xlsx)",
    b"ppt/": "une présentation (.pptx)",
}


def refuse_known_format(head: bytes, path: Path, zipped: bool = False) -> bool:
    """Lève ValueError si `head` commence un format connu ; rend vrai sinon.

    `zipped` : l’archive zip peut être ouverte ; seuls les documents de bureau sont refusés.
    """
    if head.startswith(b"PK\x03\x04"):
        names = re.findall(rb"PK\x03\x04.{26}(?=([\x20-\x7e]{1,100}))", head, re.DOTALL)
        # un EPUB et un OpenDocument donnent leur type dans un premier fichier « mimetype »
        for mark, kind in _OFFICE.items():
            if any(n.startswith(mark) or n.startswith(b"mimetype" + mark) for n in names):
                raise _refusal(kind, _PANDOC, path)
        if not zipped:
            raise _refusal("une archive zip", _UNPACK.format(command="unzip"), path)
    head = head.removeprefix(codecs.BOM_UTF8)
    is_binary = bool(re.search(rb"[\x00-\x06\x0e-\x1a]", head))
    for magic, kind, remedy in _SIGNATURES:
        # « GGUF » ou « ID3 » peuvent aussi commencer une phrase
        if head.startswith(magic) and (is_binary or not magic.isalnum()):
            raise _refusal(kind, remedy, path)
    if re.match(rb".{4}\x00{4}\{", head, re.DOTALL):
        raise _refusal("un fichier safetensors", _WEIGHTS, path)
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        raise _refusal("une image, un son ou un film", _OTHER, path)
    if head[257:262] == b"ustar":
        raise _refusal("une archive tar", _UNPACK.format(command="tar xf"), path)
    return True


def _refusal(kind: str, remedy: str, path: Path) -> ValueError:
    return ValueError(
        f"Le fichier « {path} » est binaire ou balisé : c’est {kind}. "
        f"{remedy.format(name=shlex.quote(str(path)))}."
    )
