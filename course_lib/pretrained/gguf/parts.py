"""Un GGUF coupé en morceaux (`modele-00001-of-00003.gguf`…) : tous ouverts, lus comme un seul.

Le premier morceau a tous les réglages, et chacun ses tenseurs. Source : llama.cpp, `gguf-split`.
"""

import re
from pathlib import Path

import numpy as np

from course_lib.pretrained.folders.locating import check_not_pointer
from course_lib.pretrained.gguf.levels import Levels
from course_lib.pretrained.gguf.reader import GGUFFile, TensorInfo

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
MAX_PARTS = 1000


class GGUFParts:
    """Un GGUF d’un ou de plusieurs morceaux ; à employer dans un bloc `with`.

    `metadata` et `tensors` : ceux de GGUFFile, tous morceaux réunis. N’importe quel morceau mène
    aux autres. FileNotFoundError, qui le nomme, si un morceau manque ; ValueError s’ils ne vont pas
    ensemble.
    """

    def __init__(self, path: str | Path):
        self._files: list[GGUFFile] = []
        self._owners: dict[str, GGUFFile] = {}
        self.tensors: dict[str, TensorInfo] = {}
        try:
            for part in _parts(Path(path)):
                self._add(GGUFFile(part))
            self.metadata = self._files[0].metadata
            self._check_complete()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "GGUFParts":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Rend les projections ; les tableaux déjà lus restent bons."""
        for file in self._files:
            file.close()

    def tensor(self, name: str) -> np.ndarray:
        """Un tenseur en F32, lu dans le morceau qui l’a."""
        return self._owners.get(name, self._files[0]).tensor(name)

    def levels(self, name: str) -> Levels | None:
        """Une matrice dans ses entiers, ou None ; voir `GGUFFile.levels`."""
        return self._owners.get(name, self._files[0]).levels(name)

    def _add(self, file: GGUFFile) -> None:
        self._files.append(file)
        for name, info in file.tensors.items():
            if name in self._owners:
                raise ValueError(
                    f"Le tenseur « {name} » est dans « {self._owners[name].path.name} » et dans "
                    f"« {file.path.name} » : on ne sait lequel croire."
                )
            self._owners[name], self.tensors[name] = file, info

    def _check_complete(self) -> None:
        count = len(self._files)
        for number, file in enumerate(self._files):
            found = (file.metadata.get("split.no", 0), file.metadata.get("split.count", 1) or 1)
            if found != (number, count):
                raise ValueError(
                    f"« {file.path.name} » se dit le morceau {found[0]!r} (compté de 0) sur "
                    f"{found[1]!r}, et son nom en fait le {number} sur {count}. Rendez aux "
                    "morceaux leurs noms (modele-00001-of-0000N.gguf), dans le même dossier."
                )
        expected = self.metadata.get("split.tensors.count", len(self.tensors))
        if expected != len(self.tensors):
            raise ValueError(
                f"« {self._files[0].path.name} » annonce {expected!r} tenseurs et ses {count} "
                f"morceaux en ont {len(self.tensors)}. Téléchargez-les à nouveau."
            )


def _parts(path: Path) -> list[Path]:
    """Les morceaux d’un GGUF, dans l’ordre ; lui seul s’il n’est pas coupé."""
    match = _PART.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match[3])
    if not 1 <= int(match[2]) <= count <= MAX_PARTS:
        raise ValueError(f"« {path.name} » : ce nom de morceau n’a pas de sens.")
    parts = [path.with_name(f"{match[1]}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1)]
    for part in parts:
        if not part.is_file():
            raise FileNotFoundError(
                f"Il manque le morceau « {part.name} » dans « {part.parent} » : il les faut tous "
                f"les {count}. Téléchargez-le."
            )
        check_not_pointer(part)
    return parts
