"""Mettre un modèle enregistré à sa place, sans rien écraser de ce qui n’est pas de nous."""

import json
from pathlib import Path

from course_lib.pretrained.gguf.reader import MAGIC

FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
MARK = "saved_by"  # dans config.json : ce dossier est de nous, on peut l’écraser
AUTHOR = "course_lib"


def check_free(folder: Path, overwrite: bool) -> None:
    """Refuse d’écraser ce qui n’est pas de nous."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"Le dossier « {folder.parent} » n’existe pas : créez-le d’abord.")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(
            f"« {folder} » existe et n’est pas un dossier : choisissez un autre nom."
        )
    if folder.is_dir() and not overwrite and not _is_ours(folder):
        raise FileExistsError(
            f"« {folder} » existe et contient autre chose qu’un modèle enregistré ici : choisissez "
            "un autre nom, ou overwrite=True pour le remplacer avec tout son contenu."
        )


def check_replaceable(path: Path) -> None:
    """Refuse de mettre un GGUF à la place d’un dossier, ou d’un fichier d’une autre sorte."""
    if path.is_dir():
        raise FileExistsError(f"« {path} » est un dossier : donnez un nom de fichier.")
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise FileExistsError(
                    f"« {path} » existe et n’est pas un GGUF : choisissez un autre nom."
                )


def _is_ours(folder: Path) -> bool:
    """Un dossier vide, ou qui n’a que nos fichiers et notre marque."""
    names = {path.name for path in folder.iterdir()}
    if not names:
        return True
    if not names <= set(FILES):
        return False
    try:
        return json.loads((folder / "config.json").read_text("utf-8")).get(MARK) == AUTHOR
    except (OSError, ValueError, AttributeError):
        return False
