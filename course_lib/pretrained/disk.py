"""Dire en français ce que le système de fichiers refuse, avec le chemin et un remède."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

_REASONS = {
    errno.EACCES: "permission refusée. Vérifiez vos droits sur ce chemin",
    errno.EPERM: "permission refusée. Vérifiez vos droits sur ce chemin",
    errno.EROFS: "ce disque est en lecture seule. Choisissez un autre emplacement",
    errno.ENOSPC: "le disque est plein. Libérez de la place, ou choisissez un autre emplacement",
    errno.EDQUOT: "votre quota de disque est atteint. Libérez de la place",
    errno.ENAMETOOLONG: "le nom est trop long. Choisissez-en un plus court",
    errno.ENOTDIR: "un élément de ce chemin est un fichier et non un dossier. Corrigez le chemin",
    errno.EISDIR: "c’est un dossier, et il faut un fichier. Corrigez le chemin",
    errno.EIO: "le disque a une erreur de lecture ou d’écriture. Essayez un autre emplacement",
    errno.EMFILE: "trop de fichiers sont ouverts. Fermez-en, ou relancez Python",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Traduit les erreurs du système qui portent un numéro ; leur type et leur numéro restent.

    Celles que nous écrivons nous-mêmes, en français, n’ont pas de numéro et passent telles quelles.
    L’écriture de safetensors rend les siennes en texte : elles deviennent des OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        reason = _REASONS.get(error.errno, f"le système répond « {error.strerror} »")
        raise type(error)(error.errno, f"« {path} » : {reason}") from None
    except SafetensorError as error:
        reason = next((_REASONS[n] for n in _REASONS if f"os error {n}" in str(error)), str(error))
        raise OSError(f"« {path} » : {reason}") from None
