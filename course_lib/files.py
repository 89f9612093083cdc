"""Écrire sans rien perdre, et dire en français ce que le système refuse.

Un fichier ou un dossier n’apparaît sous son nom qu’une fois complet : interrompu, ou le disque
plein, celui qui portait ce nom est intact.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Erreur du système → ce qui se passe, et ce que l’on peut y faire ; {} est le chemin.
_SENTENCES = {
    errno.ENOSPC: "Le disque est plein : impossible d’écrire « {} ». Libérez de la place",
    errno.EDQUOT: "Le quota de disque est atteint : impossible d’écrire « {} ». Libérez-y de la "
    "place",
    errno.EROFS: "« {} » est sur un disque en lecture seule. Écrivez ailleurs : --output DOSSIER",
    errno.EACCES: "Permission refusée : « {} ». Donnez-vous le droit d’y lire et d’y écrire, ou "
    "choisissez un autre chemin",
    errno.EPERM: "Opération interdite : « {} ». Choisissez un autre chemin",
    errno.ENOENT: "Introuvable : « {} ». Vérifiez le chemin et le nom",
    errno.ENOTDIR: "« {} » passe par un fichier là où il faut un dossier. Choisissez un autre "
    "chemin",
    errno.EEXIST: "« {} » existe déjà, et n’est pas un dossier. Choisissez un autre chemin",
    errno.EISDIR: "« {} » est un dossier : il faut un fichier. Choisissez un autre chemin",
    errno.ENAMETOOLONG: "Le nom « {} » est trop long pour ce disque. Choisissez-en un plus court",
    errno.EIO: "Le disque ne répond pas bien : « {} ». Vérifiez-le, ou écrivez ailleurs",
    errno.EMFILE: "Trop de fichiers ouverts pour ouvrir « {} ». Fermez d’autres programmes",
}


def sentence(error: OSError) -> str:
    """La phrase française d’une erreur du système : ce qui est arrivé, où, et que faire."""
    path = error.filename if error.filename2 is None else error.filename2
    known = _SENTENCES.get(error.errno, "Le système refuse l’accès à « {} »")
    known = known.format("un fichier dont il ne dit pas le nom" if path is None else path)
    code = "" if error.errno in _SENTENCES else f" (erreur {error.errno} : {error.strerror})"
    return f"{known}{code}."


def with_path(error: OSError, path) -> OSError:
    """La même erreur, avec le chemin que le système n’a pas dit."""
    return error if error.filename else OSError(error.errno, error.strerror, str(path))


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Un fichier provisoire à écrire ; à la fin du bloc, il prend d’un geste le nom `path`.

    Si une exception sort du bloc, il disparaît et `path` est intact. FileNotFoundError si le
    dossier manque ; une erreur du système porte toujours le chemin demandé.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Le dossier « {path.parent} » n’existe pas : créez-le avant d’écrire « {path.name} »."
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as stream:  # sur le disque avant de prendre le nom
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary), temporary):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # disque plein : ne pas laisser la moitié d’un fichier
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Écrit du texte en UTF-8, d’un seul geste, fins de ligne « \\n » sur tout système."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, content: object) -> None:
    """Écrit du JSON lisible, d’un seul geste."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Un dossier provisoire à remplir ; à la fin du bloc, il prend le nom `folder`.

    Si une exception sort du bloc, rien n’a changé : ni dossier à moitié écrit, ni ancien perdu.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)  # mkdtemp réserve le dossier à son propriétaire
        _move_into_place(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Renomme ; l’ancien dossier n’est effacé qu’une fois le nouveau à sa place."""
    if not folder.exists():
        os.replace(temporary, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)) / "ancien"
    os.replace(folder, old)
    try:
        os.replace(temporary, folder)
    except BaseException:
        os.replace(old, folder)
        old.parent.rmdir()
        raise
    shutil.rmtree(old.parent, ignore_errors=True)
