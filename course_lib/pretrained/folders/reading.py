"""Les poids d’un dossier Hugging Face, lus un à un.

    model.safetensors               un seul fichier, ou bien
    model.safetensors.index.json    un index, et model-00001-of-00003.safetensors, etc.

Ces fichiers viennent d’ailleurs et peuvent mentir. La bibliothèque safetensors vérifie leur en-tête
(places, formes, longueur) avant d’en croire un mot ; ici l’on vérifie l’index, et l’on refuse les
fichiers « pickle » (.bin, .pt, .pth, .ckpt), qui peuvent exécuter du code à l’ouverture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from course_lib.pretrained.fields import read_settings
from course_lib.pretrained.folders.locating import (
    check_not_pickle,
    check_not_pointer,
    no_weights,
)

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_LONGEST = 255  # octets d’un nom de fichier, pour tous les systèmes
DTYPES = ("F32", "F16", "BF16")


class FolderWeights:
    """Les poids d’un dossier ; à employer dans un bloc `with`.

    `shapes` : nom → forme de chaque tenseur. FileNotFoundError si les poids manquent ; ValueError
    si un fichier est abîmé, si l’index ne dit pas vrai, ou si les poids ne sont que des pickles.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._file_names: dict[str, str] = {}  # nom du tenseur → nom du fichier
        self._opened: dict[str, object] = {}
        promised = _read_index(self.folder) if _has_index(self.folder) else {}
        for file_name in sorted(set(promised.values())) or [WEIGHTS]:
            self._open(file_name)
        for name, file_name in promised.items():
            if self._file_names.get(name) != file_name:
                raise ValueError(
                    f"L’index annonce le tenseur « {name} » dans « {file_name} », qui ne l’a pas : "
                    "les fichiers ne vont pas ensemble. Téléchargez le dossier à nouveau."
                )

    def __enter__(self) -> "FolderWeights":
        return self

    def __exit__(self, *exception) -> None:
        self._opened.clear()

    def tensor(self, name: str) -> Tensor:
        """Le tenseur en simple précision, parfois une vue du fichier : à recopier.

        ValueError s’il est dans un format que l’on ne sait pas lire.
        """
        path = self.folder / self._file_names[name]
        with _readable(path):
            opened = self._opened[path.name]
            dtype = opened.get_slice(name).get_dtype()
            if dtype not in DTYPES:
                raise ValueError(
                    f"Le tenseur « {name} » de « {path.name} » est en {dtype} ; on sait lire "
                    f"{', '.join(DTYPES)}. Cherchez une version du modèle aux poids ordinaires."
                )
            return opened.get_tensor(name).to(torch.float32)

    def _open(self, file_name: str) -> None:
        path = self.folder / file_name
        with _readable(path):
            opened = self._opened[file_name] = safe_open(path, framework="pt")
            for name in opened.keys():  # noqa: SIM118 (ce n’est pas un dictionnaire)
                if name in self.shapes:
                    raise ValueError(
                        f"Le tenseur « {name} » est dans « {self._file_names[name]} » et dans "
                        f"« {file_name} » : on ne sait lequel croire."
                    )
                self.shapes[name] = tuple(opened.get_slice(name).get_shape())
                self._file_names[name] = file_name


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Dit en français ce que safetensors reproche à un fichier."""
    if not path.is_file():
        raise FileNotFoundError(
            f"Il manque le fichier de poids « {path.name} » dans « {path.parent} ». Téléchargez-le "
            "à nouveau : « hf download » reprend un dossier là où il s’est arrêté."
        )
    check_not_pointer(path)
    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"« {path.name} » est abîmé ou tronqué ({error}). Téléchargez-le à nouveau."
        ) from None


def _has_index(folder: Path) -> bool:
    """Vrai si les poids sont dans plusieurs fichiers ; refuse un dossier qui n’en a pas."""
    if (folder / WEIGHTS).is_file():
        return False
    if (folder / INDEX).is_file():
        return True
    if not folder.is_dir():
        raise FileNotFoundError(f"Aucun dossier à l’adresse « {folder} ».")
    raise no_weights(folder)


def _read_index(folder: Path) -> dict[str, str]:
    """Nom de tenseur → nom de fichier."""
    weight_map = read_settings(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"« {INDEX} » n’a pas de « weight_map » (nom de tenseur → fichier).")
    for tensor, name in weight_map.items():
        # Un simple nom : ni « .. », ni dossier, ni racine, ni disque ne mènent hors d’ici.
        plain = isinstance(name, str) and name.isprintable() and len(name.encode()) <= _LONGEST
        if not plain or set(name) & set("/\\:"):
            raise ValueError(
                f"« {INDEX} » range le tenseur « {tensor} » dans {name!r} : il faut le nom d’un "
                "fichier du même dossier."
            )
        check_not_pickle(folder / name)
        if not name.endswith(".safetensors"):
            raise ValueError(
                f"« {INDEX} » range le tenseur « {tensor} » dans {name!r}, qui n’est pas un "
                "fichier .safetensors."
            )
    return weight_map
