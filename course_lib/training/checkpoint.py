"""Les points de reprise : écrits d’un seul geste, vérifiés à la lecture.

Un point de reprise est un dossier `step-0001200/` : `model.safetensors` (les poids),
`optimizer.safetensors` (les moments de l’optimiseur) et `state.json` (tout le reste). Il naît sous
un nom provisoire et n’est renommé qu’une fois complet : un entraînement tué n’en laisse jamais la
moitié.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import Tensor, nn

from course_lib.files import atomic, with_path

_WEIGHTS, _MOMENTS = "model.safetensors", "optimizer.safetensors"
# Un point de reprise plus ancien que ces réglages a été fait avec ceux-ci.
_ADDED_SETTINGS = {"optimizer": "adamw", "muon_rate_ratio": 1.0, "dtype": "float32"}
_COMPLETE = re.compile(r"step-(\d{7,})")


class DamagedCheckpoint(ValueError):
    """Un point de reprise illisible ou incomplet."""


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Poids et tampons à enregistrer ; un poids partagé n’y figure qu’une fois."""
    saved = model.state_dict(keep_vars=True).keys()
    tensors = dict(model.named_parameters())  # sans doublon pour les poids partagés
    tensors.update((name, b) for name, b in model.named_buffers() if name in saved)
    return tensors


def save_weights(model: nn.Module, path) -> None:
    """Écrit les poids en safetensors ; le fichier n’apparaît qu’une fois complet."""
    with atomic(path) as temporary:
        _save_tensors(named_tensors(model), temporary)


@torch.no_grad()
def load_weights(model: nn.Module, path) -> None:
    """Recopie dans le modèle les poids d’un fichier safetensors.

    FileNotFoundError si le fichier manque, ValueError s’il est illisible ou si un tenseur, qu’elle
    nomme, diffère.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Aucun fichier de poids à l’adresse « {path} ».")
    try:
        tensors, ours = load_file(path), named_tensors(model)
    except SafetensorError as error:
        raise ValueError(
            f"« {path} » n’est pas un fichier safetensors complet. Réécrivez-le avec save_weights, "
            "ou téléchargez-le de nouveau."
        ) from error
    check_same(describe_tensors(tensors), describe_tensors(ours), "le fichier de poids")
    for name, tensor in ours.items():
        tensor.copy_(tensors[name])


def describe_tensors(tensors: dict[str, Tensor]) -> dict[str, str]:
    """« nom → type et forme » de chaque tenseur : l’architecture vue par ses poids."""
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        for name, tensor in tensors.items()
    }


def check_same(saved: dict, current: dict, what: str, remedy: str = "") -> None:
    """ValueError nommant le premier champ qui diffère entre l’enregistré et l’actuel."""
    absent = "absent"
    for name in [*current, *(name for name in saved if name not in current)]:
        before, now = saved.get(name, absent), current.get(name, absent)
        if before != now:
            raise ValueError(
                f"« {name} » diffère : {before} dans {what}, {now} maintenant. {remedy}".strip()
            )


class CheckpointStore:
    """Le dossier des points de reprise d’un entraînement ; garde les `keep` derniers."""

    def __init__(self, folder, keep: int = 2):
        self.folder, self.keep = Path(folder), keep

    def steps(self) -> list[int]:
        """Les pas enregistrés, du plus ancien au plus récent."""
        if not self.folder.is_dir():
            return []
        names = (_COMPLETE.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:07d}"

    def save(self, step: int, weights: dict, moments: dict, state: dict) -> None:
        """Écrit le point de reprise du pas `step`, puis efface ceux qui ne servent plus.

        `weights` et `moments` : les tenseurs de `named_tensors` et de `optimizer_tensors`.
        """
        for leftover in self.folder.glob(".step-*.tmp"):  # vestige d’un entraînement tué
            shutil.rmtree(leftover)
        temporary = self.folder / f".step-{step:07d}.tmp"
        temporary.mkdir(parents=True)
        try:
            digests = {
                name: _save_tensors(tensors, temporary / name)
                for name, tensors in ((_WEIGHTS, weights), (_MOMENTS, moments))
            }
            content = json.dumps({"sha256": digests, "step": step, **state}, ensure_ascii=False)
            _write_durably(temporary / "state.json", content.encode())
            if self.path(step).exists():  # un point de reprise abîmé du même pas
                shutil.rmtree(self.path(step))
            os.replace(temporary, self.path(step))
        finally:  # disque plein : rendre la place, les points précédents restent
            shutil.rmtree(temporary, ignore_errors=True)
        recent = [other for other in self.steps() if other <= step][-self.keep :]
        for other in self.steps():
            if other not in recent:
                shutil.rmtree(self.path(other))

    def read_latest(self, identity: dict) -> tuple[dict, dict, dict] | None:
        """État, poids et moments du dernier point de reprise lisible ; None sans aucun.

        Crée le dossier. Un point abîmé est signalé et l’on revient au précédent. ValueError si tous
        le sont, ou si le réglage, les données ou l’architecture diffèrent de `identity`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)  # un dossier interdit se sait dès le départ
        steps = self.steps()
        for step in reversed(steps):
            try:
                content = self._read(step)
            except DamagedCheckpoint as error:
                warnings.warn(f"{error} On revient au précédent.", stacklevel=3)
                continue
            self._check_identity(content[0]["identity"], identity)
            return content
        if steps:
            raise ValueError(
                f"Aucun point de reprise lisible dans « {self.folder} ». "
                "Effacez ce dossier pour recommencer l’entraînement."
            )
        return None

    def _check_identity(self, saved: dict, current: dict) -> None:
        remedy = (
            "Reprenez avec la même valeur, ou recommencez dans un autre dossier que "
            f"« {self.folder} »."
        )
        for part in current:
            if part not in saved:
                warnings.warn(
                    f"Le point de reprise de « {self.folder} », ancien, ne dit pas sous quelle "
                    "perte (loss) il a été fait : vérifiez que c’est la même.",
                    stacklevel=4,
                )
                continue
            added = _ADDED_SETTINGS if part == "config" else {}
            check_same(added | saved[part], current[part], "le point de reprise", remedy)

    def _read(self, step: int) -> tuple[dict, dict, dict]:
        folder = self.path(step)
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            contents = {name: (folder / name).read_bytes() for name in state["sha256"]}
        except (OSError, ValueError, KeyError) as error:
            reason = "un fichier manque ou n’est pas lisible"
            raise DamagedCheckpoint(self._damage(folder, reason)) from error
        for name, content in contents.items():
            if hashlib.sha256(content).hexdigest() != state["sha256"][name]:
                reason = f"{name} a changé depuis son écriture"
                raise DamagedCheckpoint(self._damage(folder, reason))
        return state, *(parse(contents[name]) for name in (_WEIGHTS, _MOMENTS))

    @staticmethod
    def _damage(folder: Path, reason: str) -> str:
        return f"Le point de reprise « {folder} » est abîmé : {reason}."


def optimizer_tensors(model: nn.Module, optimizer) -> dict[str, Tensor]:
    """Moments de l’optimiseur, sous le nom « paramètre/moment »."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


@torch.no_grad()
def restore(model: nn.Module, optimizer, weights: dict, moments: dict, place: Callable) -> None:
    """Remet poids et moments ; `place(valeur, tenseur)` rend ce qui va à la place du tenseur."""
    for name, tensor in named_tensors(model).items():
        tensor.copy_(place(weights[name], tensor))
    parameters = dict(model.named_parameters())
    for full_name, value in moments.items():
        name, key = full_name.rsplit("/", 1)
        parameter = parameters[name]
        own = place(value, parameter) if value.shape == parameter.shape else value
        optimizer.state[parameter][key] = own.to(parameter.device, copy=True)


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> str:
    """Écrit les tenseurs et renvoie l’empreinte SHA-256 du fichier."""
    content = serialize({k: tensor.detach().cpu().contiguous() for k, tensor in tensors.items()})
    _write_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # « disque plein » ne dit pas de quel fichier
        raise with_path(error, path) from error
