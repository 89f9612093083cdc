"""Les romans tels que leurs éditeurs les publient, en TEI, et leur texte nu.

Les deux collections françaises d’ELTeC sont prises à une version précise, dans une copie locale ou
sur le réseau. Le texte nu est celui des paragraphes et des vers du corps du livre : ni titre, ni
préface de l’éditeur, un paragraphe par ligne, les signes ramenés à une seule forme.
"""

import re
import unicodedata
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tqdm.auto import tqdm

from course_lib.files import atomic

# Les versions que le romancier a lues.
COLLECTIONS = {
    "COST-ELTeC/ELTeC-fra": "83f0a43fdb967cd1db646027a1a237307e4924a1",
    "COST-ELTeC/ELTeC-fra-ext1": "dba118fc1b93861d8267c06d305893d648a38dbb",
}
ADDRESS = "https://codeload.github.com/{repository}/zip/{revision}"
_TEI = "{http://www.tei-c.org/ns/1.0}"
_SAME_SIGN = str.maketrans(
    {
        "\u00ad": None,  # trait d’union conditionnel
        "\u00a0": " ",
        "\u202f": " ",
        "\u2009": " ",
        "’": "'",
        "ʼ": "'",
        "`": "'",
        "–": "—",
        "―": "—",
        "“": "«",
        "”": "»",
    }
)


def plain(text: str) -> str:
    """Une seule forme d’apostrophe, de tiret, de guillemet et d’espace ; Unicode composé (NFC)."""
    text = unicodedata.normalize("NFC", text).translate(_SAME_SIGN).replace("...", "…")
    text = re.sub(r"\s+", " ", text).strip()
    return text.replace("--", "—").replace("— —", "—")


def novel_text(edition: bytes, name: str) -> str:
    """Le texte d’un roman en TEI, un paragraphe par ligne.

    ValueError, avec le nom du fichier, si ce n’est pas une édition TEI ou si elle n’a pas de corps.
    """
    try:
        body = ElementTree.fromstring(edition).find(f".//{_TEI}body")
    except ElementTree.ParseError as error:
        raise ValueError(
            f"« {name} » n’est pas du XML bien formé ({error}) : reprenez l’édition d’origine."
        ) from error
    if body is None:
        raise ValueError(f"« {name} » n’a pas de corps (<body>) : ce n’est pas une édition TEI.")
    kept = {f"{_TEI}p", f"{_TEI}l"}
    lines = (plain("".join(e.itertext())) for e in body.iter() if e.tag in kept)
    return "\n".join(line for line in lines if line)


def read_edition(folder: Path, repository: str, file: str) -> bytes:
    """Une édition, d’un dossier qui contient les collections : dépaquetées, ou en archives.

    FileNotFoundError si la collection ou le fichier manque.
    """
    name = repository.split("/")[1]
    if (loose := Path(folder) / name).is_dir():
        if not (loose / file).is_file():
            raise FileNotFoundError(
                f"« {loose / file} » n’existe pas : il faut la version {COLLECTIONS[repository]} "
                f"de « {repository} »."
            )
        return (loose / file).read_bytes()
    archive = archive_path(folder, repository)
    if not archive.is_file():
        raise FileNotFoundError(
            f"Ni « {name} » ni « {archive.name} » dans « {folder} » : copiez-y la collection "
            f"« {repository} », ou laissez la commande la prendre sur le réseau (sans --editions)."
        )
    with zipfile.ZipFile(archive) as opened:
        return opened.read(f"{name}-{COLLECTIONS[repository]}/{file}")


def archive_path(folder: Path, repository: str) -> Path:
    """Où se garde l’archive d’une collection."""
    return Path(folder) / f"{repository.split('/')[1]}-{COLLECTIONS[repository][:12]}.zip"


def download(folder: Path) -> None:
    """Prend sur le réseau les collections qui manquent à `folder`.

    ConnectionError si le réseau refuse : le message dit ce que l’on peut poser là soi-même.
    """
    for repository, revision in COLLECTIONS.items():
        path = archive_path(folder, repository)
        if path.is_file() or (Path(folder) / repository.split("/")[1]).is_dir():
            continue
        address = ADDRESS.format(repository=repository, revision=revision)
        try:
            with urllib.request.urlopen(address) as answer, atomic(path) as temporary:
                size = int(answer.headers.get("Content-Length", 0)) or None
                with temporary.open("wb") as stream, _bar(repository, size) as bar:
                    for block in _blocks(answer):
                        stream.write(block)
                        bar.update(len(block))
        except urllib.error.URLError as error:
            raise ConnectionError(
                f"« {address} » ne répond pas ({error.reason}). Posez une copie de "
                f"« {repository} » dans un dossier et donnez-le par --editions."
            ) from error


def _bar(repository: str, size: int | None) -> tqdm:
    return tqdm(desc=repository, total=size, unit="o", unit_scale=True)


def _blocks(stream) -> Iterator[bytes]:
    while block := stream.read(1 << 16):
        yield block


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
