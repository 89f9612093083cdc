"""Les romans du romancier, lus dans un dossier du lecteur : ils ne sont pas livrés avec le cours.

Le dossier contient `novels.csv` (fichier, auteur, titre, date, rôle) et les textes, un fichier
`.txt` par roman, rangés dans `novels/` ou dans l’archive `novels.tar.bz2`.
"""

import csv
import tarfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from course_experiments.experiment import Experiment
from course_lib.arguments import FrenchArgumentParser

LIST, ARCHIVE, TEXTS = "novels.csv", "novels.tar.bz2", "novels"
CLEAN_LIST = "sans_doublons.csv"  # les rôles d’un corpus dédoublonné
CLEAN, SEEN = "held out", "held out (found in training under another name)"


@dataclass(frozen=True)
class Novel:
    """Un roman : ce que la liste en dit, et son texte, un paragraphe par ligne."""

    name: str
    author: str
    title: str
    year: str
    role: str
    text: str


def read_novels(folder: Path, *roles: str, listing: str = LIST) -> Iterator[Novel]:
    """Les romans de ces rôles (tous, si l’on n’en donne aucun), dans l’ordre des fichiers.

    FileNotFoundError si la liste ou un texte manque : le message dit ce qu’il faut y mettre.
    """
    rows = _rows(Path(folder) / listing)
    listed = {name: row for name, row in rows.items() if not roles or row["role"] in roles}
    found = set()
    for name, text in _texts(folder, set(listed)):
        row = listed[name]
        found.add(name)
        yield Novel(name, row["author"], row["title"], row["first_edition"], row["role"], text)
    if missing := sorted(set(listed) - found):
        raise FileNotFoundError(
            f"{len(missing)} roman(s) de « {listing} » n’ont pas leur texte dans « {folder} », "
            f"dont « {missing[0]}.txt » : rangez-les dans « {TEXTS} » ou dans « {ARCHIVE} »."
        )


def add_novels_option(parser: FrenchArgumentParser) -> None:
    """Ajoute `--novels DOSSIER`, qui dit où sont les romans."""
    parser.add_argument(
        "--novels", type=Path, required=True, help=f"dossier des romans ({LIST} et {TEXTS})"
    )


def with_novels(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience, une fois connu le dossier des romans, que sa mesure reçoit (`novels`)."""
    return replace(experiment, measure=partial(experiment.measure, novels=options.novels))


def _rows(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(
            f"« {path} » n’existe pas : donnez le dossier qui contient « {path.name} » et "
            f"« {TEXTS} »."
        )
    with path.open(encoding="utf-8", newline="") as file:
        return {PurePosixPath(row["file"]).stem: row for row in csv.DictReader(file)}


def _texts(folder: Path, names: set[str]) -> Iterator[tuple[str, str]]:
    if (loose := Path(folder) / TEXTS).is_dir():
        for path in sorted(loose.glob("*.txt")):
            if path.stem in names:
                yield path.stem, path.read_text("utf-8")
        return
    archive = Path(folder) / ARCHIVE
    if not archive.is_file():
        raise FileNotFoundError(
            f"Ni « {TEXTS} » ni « {ARCHIVE} » dans « {folder} » : il faut les textes des romans."
        )
    texts = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name).stem
            if member.isfile() and name in names:
                texts[name] = tar.extractfile(member).read().decode("utf-8")
    yield from sorted(texts.items())


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
