"""Un dossier, une commande à la fois : un verrou que le système rend si elle meurt."""

import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_NAME, _FAR = ".verrou", 1 << 20  # on verrouille un octet lointain : le début reste lisible


class FolderBusy(ValueError):
    """Une autre commande travaille dans ce dossier."""


class FolderLock:
    """Contexte : le dossier `folder` est à nous ; FolderBusy dit qui le tient, depuis quand.

    `wait` : attendre qu’il se libère. `remedy` : ce que l’on peut faire d’autre. Un processus mort
    ne garde pas son verrou : il n’y a jamais de vestige à effacer. Un disque qui ne connaît pas les
    verrous s’en passe.
    """

    def __init__(self, folder, remedy: str = "", wait: bool = False):
        self.path, self.remedy, self.wait = Path(folder) / _NAME, remedy, wait
        self._file = None

    def __enter__(self):
        self._file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        try:
            _acquire(self._file, self.wait)
        except BlockingIOError:
            self._file.close()
            raise FolderBusy(self._holder()) from None
        except OSError:  # pas de verrou sur ce disque
            return self
        self._file.truncate(0)
        since = datetime.now().strftime("%d/%m/%Y à %H:%M")
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        self._file.write(json.dumps(owner).encode())
        self._file.flush()
        return self

    def __exit__(self, *exception):
        if self._file is not None:
            with suppress(OSError):
                self._file.close()  # rend le verrou

    def _holder(self) -> str:
        try:
            owner = json.loads(self.path.read_bytes())
            who = f"le processus {owner['pid']} de « {owner['host']} », depuis le {owner['since']}"
            end = f"Attendez sa fin, ou arrêtez-le (kill {owner['pid']})"
        except (OSError, ValueError, KeyError):
            who, end = "un autre processus", "Attendez sa fin"
        return (
            f"Le dossier « {self.path.parent} » est déjà au travail : {who}, y écrit. "
            f"{end}. {self.remedy}".strip()
        )


def _acquire(file, wait: bool) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    while True:
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:  # LK_LOCK n’attend que dix secondes
            if not wait:
                raise BlockingIOError from None
        else:
            file.seek(0)
            return
