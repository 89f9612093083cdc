"""Réunit les romans du romancier, les vérifie, et dit lesquels lire.

    python -m course_experiments.romancier.corpus DOSSIER
    python -m course_experiments.romancier.corpus DOSSIER --editions COPIES   sans réseau

Dans DOSSIER : `novels/`, un texte par roman, chacun vérifié par son empreinte ; `novels.csv`, les
rôles qu’ils ont eus pour le modèle livré ; `sans_doublons.csv`, ceux qu’ils auraient dû avoir :
les doubles ôtés, des auteurs entiers mis de côté, et la raison de chaque choix. Déjà là et bon, un
texte n’est pas refait.
"""

import csv
import hashlib
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from course_experiments.romancier.duplicates import duplicate_of, held_out
from course_experiments.romancier.editions import download, novel_text, read_edition
from course_experiments.romancier.novels import CLEAN, CLEAN_LIST, LIST, TEXTS
from course_lib.arguments import FrenchArgumentParser, natural_int, positive_int
from course_lib.commands.failures import run_command, say
from course_lib.files import atomic
from course_lib.models.shipped import ROMANCIER
from course_lib.typography import format_number

SHIPPED = ROMANCIER / "novels.csv"
DUPLICATE = "duplicate"
N_HELD_OUT = 6


def rows_of(path: Path) -> list[dict[str, str]]:
    """Les lignes d’une liste de romans."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def gather(folder: Path, editions: Path, rows: list[dict[str, str]]) -> dict[str, str]:
    """{nom: texte} de chaque roman, pris dans `folder` s’il y est, sinon tiré de son édition.

    ValueError si un texte n’a pas l’empreinte de la liste : il n’est pas écrit.
    """
    texts = {}
    (folder / TEXTS).mkdir(parents=True, exist_ok=True)
    for row in tqdm(rows, desc="Romans", unit=" roman"):
        name = PurePosixPath(row["file"]).stem
        path = folder / TEXTS / f"{name}.txt"
        text = path.read_text("utf-8") if path.is_file() else ""
        if _digest(text) != row["sha256"]:
            text = novel_text(read_edition(editions, row["repository"], row["file"]), row["file"])
            if (found := _digest(text)) != row["sha256"]:
                raise ValueError(
                    f"Le texte de « {row['file']} » a l’empreinte {found[:12]}…, il faudrait "
                    f"{row['sha256'][:12]}… : ce n’est pas la version que le modèle a lue."
                )
            with atomic(path) as temporary:
                temporary.write_bytes(text.encode())
        texts[name] = text
    return texts


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sort_out(
    texts: dict[str, str], rows: list[dict[str, str]], n_held_out: int, seed: int
) -> list[dict[str, str]]:
    """Les mêmes lignes, avec le rôle de chaque roman et sa raison (colonnes `role`, `reason`)."""
    names = [PurePosixPath(row["file"]).stem for row in rows]
    repeated = duplicate_of([texts[name] for name in names])
    found = list(zip(rows, names, repeated, strict=True))
    authors = {name: row["author"] for row, name, first in found if first is None}
    distinct = {name: texts[name] for name in authors}
    aside, refused = held_out(distinct, authors, n_held_out, seed=seed)
    sorted_rows = []
    for row, name, first in found:
        role, reason = "training", ""
        if first is not None:
            role, reason = DUPLICATE, names[first]
        elif name in aside:
            role, reason = CLEAN, "auteur absent du reste"
        elif name in refused:
            reason = f"tiré, puis écarté : {format_number(100 * refused[name], 1)} % lu ailleurs"
        sorted_rows.append(row | {"role": role, "reason": reason})
    return sorted_rows


def build(folder: Path, editions: Path | None, n_held_out: int, seed: int) -> None:
    """Tout le travail de la commande."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(SHIPPED)
    if editions is None and not _complete(folder, rows):
        editions = folder / "editions"
        editions.mkdir(exist_ok=True)
        download(editions)
    texts = gather(folder, editions or folder / "editions", rows)
    with atomic(folder / LIST) as temporary:
        shutil.copyfile(SHIPPED, temporary)
    sorted_rows = sort_out(texts, rows, n_held_out, seed)
    with (
        atomic(folder / CLEAN_LIST) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.DictWriter(stream, list(sorted_rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted_rows)
    counts = Counter(row["role"] for row in sorted_rows)
    say(
        f"{len(rows)} romans dans « {folder} » : {counts['training']} à lire, "
        f"{counts[DUPLICATE]} en double, {counts[CLEAN]} mis de côté. Ensuite : "
        f"python -m course_experiments.romancier.training {folder}"
    )


def _complete(folder: Path, rows: list[dict[str, str]]) -> bool:
    return all(
        (folder / TEXTS / f"{PurePosixPath(row['file']).stem}.txt").is_file() for row in rows
    )


def main(arguments: list[str] | None = None) -> int:
    """La commande ; rend 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.romancier.corpus",
        description="Réunit les romans du romancier, les vérifie, et dit lesquels lire.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DOSSIER", help="où ranger les romans")
    add("--editions", type=Path, help="dossier des collections ELTeC (sinon : le réseau)")
    held = f"romans mis de côté, chacun d’un auteur absent du reste ({N_HELD_OUT})"
    add("--held-out", type=positive_int, default=N_HELD_OUT, help=held)
    add("--seed", type=natural_int, default=0, help="graine du tirage (0)")
    options = parser.parse_args(arguments)
    return run_command(
        lambda: build(options.folder, options.editions, options.held_out, options.seed),
        "La même commande reprend : un texte déjà bon n’est pas refait.",
    )


if __name__ == "__main__":
    raise SystemExit(main())
