"""Poser les cahiers dans un dossier, sans jamais effacer ce que le lecteur y a écrit."""

from pathlib import Path

import nbformat

from reader_notebook.index import Index, book_index, pages
from reader_notebook.links import Links, has_notebook, notebook_name
from reader_notebook.notebook import fingerprint, reader_notebook


def write_all(folder: Path, links: Links, index: Index | None = None) -> list[str]:
    """Écrit tous les cahiers dans `folder` ; rend une phrase par cahier écrit à côté d’un autre."""
    index = index or book_index()
    folder.mkdir(parents=True, exist_ok=True)
    said = []
    for page in filter(has_notebook, pages()):
        said += deliver(reader_notebook(page, index, links), folder / notebook_name(page))
    return said


def deliver(notebook: nbformat.NotebookNode, path: Path) -> list[str]:
    """Écrit `notebook`, à côté s’il le faut : un cahier que le lecteur a modifié reste tel quel.

    De la même version du cours, il reste aussi tel quel, avec les sorties que le lecteur a
    calculées. Un fichier d’une autre origine n’est jamais touché.
    """
    target, rank = path, 1
    while target.exists():
        version, modified = state_of(target)
        if version == notebook.metadata.cours.version:
            return []
        if not modified:
            break
        rank += 1
        target = path.with_stem(f"{path.stem} ({rank})")
    target.write_text(nbformat.writes(notebook) + "\n", "utf-8", newline="\n")
    if target == path:
        return []
    return [
        f"{path.name} : vous l’avez modifié, il reste tel quel. La nouvelle version du cours est "
        f"à côté : {target.name}."
    ]


def state_of(path: Path) -> tuple[str, bool]:
    """La version du cours d’où vient ce cahier, et si le lecteur l’a modifié.

    Réexécuter n’est pas modifier. Un fichier illisible ou d’une autre origine est à son auteur.
    """
    try:
        found = nbformat.read(path, as_version=4)
        marks = found.metadata["cours"]
        return marks["version"], fingerprint(found.cells) != marks["texte"]
    except Exception:  # pas un cahier, ou pas l’un des nôtres
        return "", True
