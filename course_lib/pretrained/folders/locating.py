"""Trouver le modèle que l’on demande, ou dire quoi donner à la place.

`load_pretrained` reçoit ce que l’on a sous la main : un nom du dépôt de Hugging Face, la racine de
son cache, un adaptateur, une archive, un pointeur de Git LFS… Chacun de ces gestes finit par le
modèle, quand il n’y a pas de doute, ou par une phrase qui dit la suite.
"""

import os
import re
from pathlib import Path

from course_lib.pretrained.fields import read_settings

SHIPPED = Path(__file__).parents[2] / "models"  # un dossier par modèle livré avec le cours
POINTER = b"version https://git-lfs.github.com/spec/"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_HUB = re.compile(r"(?:https?://)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)")
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf": "7z",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
_FOREIGN = {
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".ot": "Rust",
    ".tflite": "TensorFlow Lite",
}
_CONVERT = (  # à côté des pickles, sans toucher au tokeniseur
    "from transformers import AutoModelForCausalLM  # AutoModel pour un encodeur\n"
    "AutoModelForCausalLM.from_pretrained({folder!r}).save_pretrained({folder!r})"
)


def find_model(path: str | Path) -> Path:
    """Le fichier GGUF ou le dossier que désigne `path` ; « ~ » et le cache du dépôt sont suivis.

    Le nom d’un modèle livré avec le cours (« romancier », « petit-llm ») le désigne aussi, si rien
    d’autre ne le porte. TypeError si ce n’est pas un chemin, FileNotFoundError s’il ne mène à rien,
    ValueError s’il mène à autre chose qu’un modèle : le message dit quoi donner.
    """
    if not isinstance(path, str | Path):
        raise TypeError(f"Donnez le chemin d’un modèle (un texte) ; reçu {type(path).__name__}.")
    text = str(path)
    if not text.strip() or "\0" in text:
        raise ValueError(f"{text!r} n’est pas un chemin : donnez celui d’un dossier ou d’un GGUF.")
    try:
        found = Path(text).expanduser()
    except RuntimeError:
        raise FileNotFoundError(
            f"« {text} » : ce dossier personnel est inconnu. Donnez le chemin complet."
        ) from None
    if found.is_dir():
        return _check_folder(_snapshot(found))
    check_not_pickle(found)
    if found.suffix == ".safetensors":
        raise ValueError(
            f"« {found} » n’a que les poids : donnez le dossier, « {found.parent} », où sont aussi "
            "config.json et tokenizer.json."
        )
    if not found.exists():
        shipped = shipped_model(text)
        if shipped is None:
            raise _absent(found, text)
        return shipped
    _check_file(found)
    return found


def shipped_model(name: str) -> Path | None:
    """Le fichier ou le dossier du modèle livré de ce nom ; « - » y vaut « _ ». None s’il manque."""
    folder = SHIPPED / name.replace("-", "_")
    if folder.parent != SHIPPED:
        return None
    places = (folder / "config.json", folder / f"{folder.name}.gguf")
    found = next((place for place in places if place.is_file()), None)
    return folder if found == places[0] else found


def shipped_names() -> list[str]:
    """Les noms des modèles livrés avec le cours."""
    return sorted(path.name for path in SHIPPED.iterdir() if shipped_model(path.name))


def check_not_pickle(path: Path) -> None:
    """ValueError, avec la raison et le remède, si le nom du fichier est celui d’un pickle."""
    if path.suffix.lower() in PICKLES:
        raise ValueError(
            f"« {path} » est un pickle : l’ouvrir exécute le code qu’il contient, quel qu’il soit. "
            "On ne lit que safetensors et GGUF, qui ne contiennent que des nombres. Cherchez une "
            "version du modèle dans l’un de ces formats, ou, si vous vous fiez à l’auteur, "
            f"convertissez son dossier :\n{_CONVERT.format(folder=str(path.parent))}"
        )


def check_not_pointer(path: Path) -> None:
    """ValueError si ce fichier n’est que l’adresse d’un autre, laissée par Git LFS."""
    with path.open("rb") as stream:
        head = stream.read(len(POINTER))
    if head == POINTER:
        raise ValueError(
            f"« {path} » n’est qu’un pointeur de Git LFS ({path.stat().st_size} octets) : le vrai "
            f"fichier n’a pas été téléchargé. Lancez « git lfs pull » dans « {path.parent} », ou "
            "prenez le dossier entier : « hf download AUTEUR/MODÈLE --local-dir DOSSIER »."
        )


def no_weights(folder: Path) -> Exception:
    """L’erreur d’un dossier sans poids que l’on sache lire : ce qu’il a, et que faire."""
    paths = sorted(folder.rglob("*"))
    here = [path for path in paths if path.parent == folder]
    shards = [path for path in here if path.suffix == ".safetensors"]
    if shards:
        return FileNotFoundError(
            f"« {folder} » a {_names(shards)}, mais ni « model.safetensors » ni l’index "
            "« model.safetensors.index.json » qui dit quel fichier a quel tenseur. Téléchargez le "
            "dossier entier."
        )
    for path in here:
        check_not_pickle(path)
    gguf = [path for path in here if path.suffix == ".gguf"]
    if gguf:
        return FileNotFoundError(_give_gguf(folder, gguf))
    for path in paths:
        if path.suffix in _FOREIGN:
            return ValueError(
                f"« {folder} » n’a que des poids {_FOREIGN[path.suffix]} (« {path.name} »). On ne "
                "lit que safetensors et GGUF : cherchez une version du modèle dans l’un d’eux."
            )
    return FileNotFoundError(
        f"Ni « model.safetensors » ni « model.safetensors.index.json » dans le dossier « {folder} "
        "» : les poids manquent. Téléchargez-le en entier : "
        "« hf download AUTEUR/MODÈLE --local-dir DOSSIER »."
    )


def _names(paths: list[Path]) -> str:
    rest = "…" if len(paths) > 3 else ""
    return ", ".join(f"« {path.name} »" for path in paths[:3]) + rest


def _absent(found: Path, text: str) -> FileNotFoundError:
    if found.is_symlink():
        return FileNotFoundError(
            f"« {found} » est un lien vers « {os.readlink(found)} », qui n’existe pas : "
            "téléchargez le modèle à nouveau."
        )
    address = _HUB.match(text)
    name = address[1] if address else text
    if address or (_HUB_NAME.fullmatch(text) and not found.parent.exists()):
        folder = name.split("/")[1]
        return FileNotFoundError(
            f"Aucun dossier « {name} » dans « {Path.cwd()} ». Si c’est un modèle de Hugging Face, "
            "load_pretrained ne le télécharge pas : obtenez son dossier par « hf download "
            f"{name} --local-dir {folder} », dans un terminal, puis load_pretrained({folder!r})."
        )
    what = "fichier GGUF" if found.suffix == ".gguf" else "fichier ni dossier"
    shipped = ", ".join(f"« {name} »" for name in shipped_names())
    return FileNotFoundError(
        f"Aucun {what} à l’adresse « {found.absolute()} ». Les modèles livrés avec le cours "
        f"s’ouvrent par leur nom : {shipped}."
    )


def _check_file(path: Path) -> None:
    """Refuse un fichier qui n’est visiblement pas un GGUF, avec ce qu’il faut en faire."""
    if not path.is_file():
        raise ValueError(f"« {path} » n’est pas un fichier ordinaire : donnez celui d’un GGUF.")
    check_not_pointer(path)
    if path.suffix == ".json":
        raise ValueError(
            f"« {path} » n’est qu’un des fichiers du modèle : donnez le dossier, « {path.parent} »."
        )
    with path.open("rb") as stream:
        head = stream.read(512)
    kind = next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)
    kind = "tar" if head[257:262] == b"ustar" else kind
    if kind is not None:
        raise ValueError(
            f"« {path} » est une archive {kind} : décompressez-la, puis donnez le dossier du "
            "modèle, ou son fichier GGUF."
        )
    if path.suffix in _FOREIGN:
        raise ValueError(
            f"« {path} » est un modèle {_FOREIGN[path.suffix]} : on ne lit que safetensors et GGUF."
        )


def _snapshot(folder: Path) -> Path:
    """Le modèle d’un cache de Hugging Face (`models--auteur--nom`), si l’on sait lequel."""
    root = folder.parent if folder.name == "snapshots" else folder
    snapshots = root / "snapshots"
    if (folder / "config.json").exists() or not snapshots.is_dir():
        return folder
    versions = sorted(path for path in snapshots.iterdir() if path.is_dir())
    main = root / "refs" / "main"
    if main.is_file():
        current = snapshots / main.read_text("utf-8", "replace").strip()
        if current in versions:
            return current
    if len(versions) == 1:
        return versions[0]
    shown = ", ".join(f"« {path} »" for path in versions) or "aucune"
    raise ValueError(
        f"« {root} » est la racine d’un cache de Hugging Face, dont on ne sait quelle version "
        f"prendre ({shown}). Donnez le chemin de l’une d’elles ; s’il n’y en a pas, téléchargez le "
        "modèle à nouveau."
    )


def _check_folder(folder: Path) -> Path:
    """Le dossier, s’il a un config.json et des fichiers vraiment téléchargés."""
    _check_not_adapter(folder)
    for path in folder.iterdir():
        if path.is_file() and path.suffix in (".json", ".safetensors", ".gguf", ".model"):
            check_not_pointer(path)
    if (folder / "config.json").is_file():
        _check_not_older(folder)
        return folder
    if (folder / "checkpoints").is_dir() and (folder / "run.json").is_file():
        raise FileNotFoundError(
            f"« {folder} » garde un entraînement inachevé. Relancez la commande qui l’a commencé : "
            "elle reprend où il en était, et y écrit le modèle à la fin."
        )
    inside = sorted(path.parent for path in folder.glob("*/config.json"))
    transformer = folder / "0_Transformer"  # les anciens encodeurs de phrases
    if transformer in inside:
        return transformer
    gguf = sorted(path for path in folder.glob("*.gguf") if path.is_file())
    if gguf:
        raise FileNotFoundError(_give_gguf(folder, gguf))
    if inside or list(folder.glob("models--*/snapshots")):
        found = inside or sorted(folder.glob("models--*"))
        raise FileNotFoundError(
            f"« {folder} » n’a pas de « config.json », mais {_names(found)} en a : donnez par "
            f"exemple « {found[0]} »."
        )
    raise FileNotFoundError(
        f"« {folder} » n’a pas de « config.json » : est-ce un modèle ? Donnez le dossier qui le "
        "contient, ou un fichier GGUF."
    )


def _check_not_older(folder: Path) -> None:
    """Refuse un dossier du cours d’avant le format Hugging Face : nos noms, et pas de famille."""
    settings = read_settings(folder / "config.json")
    if "model_type" not in settings and {"d_model", "n_layers", "context_length"} <= set(settings):
        raise ValueError(
            f"« {folder} » a été écrit par une version ancienne du cours. Si c’est celui d’un "
            "entraînement, relancez la commande qui l’a fait (le même --output) : elle relit ses "
            "points de reprise et réécrit le modèle au format Hugging Face, sans réapprendre."
        )


def _give_gguf(folder: Path, gguf: list[Path]) -> str:
    return (
        f"« {folder} » est un dossier sans poids safetensors ; il a {_names(gguf)} : donnez le "
        f"fichier, load_pretrained({str(gguf[0])!r})."
    )


def _check_not_adapter(folder: Path) -> None:
    """Refuse un adaptateur (LoRA…) : ce n’est que la retouche d’un autre modèle."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return
    check_not_pointer(path)
    base = read_settings(path).get("base_model_name_or_path")
    named = f"« {base} »" if isinstance(base, str) and base else "son modèle de base"
    if (folder / "config.json").is_file():
        raise ValueError(
            f"« {folder} » a un modèle et aussi un adaptateur (adapter_config.json, pour {named}) "
            "qu’il faudrait lui ajouter. Mettez les fichiers adapter_* dans un autre dossier, puis "
            "load_adapter(modèle, ce dossier)."
        )
    raise ValueError(
        f"« {folder} » n’est pas un modèle mais un adaptateur, la retouche de {named}. Chargez "
        f"d’abord celui-ci, puis : load_adapter(modèle, {str(folder)!r})."
    )
