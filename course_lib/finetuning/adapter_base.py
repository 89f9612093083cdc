"""À quoi l’on reconnaît, à la relecture, un adaptateur intact et la base pour laquelle il est fait.

L’en-tête du fichier de poids, que `peft` ignore, porte l’empreinte des tenseurs et quelques nombres
de chaque matrice adaptée de la base. Ces nombres se comparent à peu près : la même base arrondie en
demi-précision, ou quantifiée, est reconnue ; une autre, de mêmes formes, ne l’est pas. Un fichier
écrit par `peft` n’a rien de tel : on n’y vérifie que les noms et les formes.
"""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from course_lib.finetuning.layers import linear_layers
from course_lib.finetuning.lora import base_weight
from course_lib.pretrained.folders.origin import origin_of

DIGEST, SAMPLE = "course_lib.digest", "course_lib.base"
N_NUMBERS = 16  # par matrice
# Distance relative : Q8_0 en est à 0,01, Q4 à 0,1 ; deux matrices au hasard, à 1,4.
MAX_DISTANCE = 0.35
SAME_DISTANCE = 0.02  # la même matrice, en demi-précision ou en Q8_0


def marks(tensors: Mapping[str, Tensor], layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """Les métadonnées à écrire : l’empreinte des tenseurs, et des nombres de la base.

    `layers` : les couches adaptées, par leur chemin.
    """
    samples = {path: _numbers(layer) for path, layer in layers.items()}
    known = {path: numbers.tolist() for path, numbers in samples.items() if numbers is not None}
    rounded = {path: [float(f"{x:.4g}") for x in numbers] for path, numbers in known.items()}
    return {DIGEST: digest(tensors), SAMPLE: json.dumps(rounded)}


@torch.no_grad()
def digest(tensors: Mapping[str, Tensor]) -> str:
    """Empreinte SHA-256 des noms, des types, des formes et des nombres."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(tensor.contiguous().view(-1).view(torch.uint8).cpu().numpy().tobytes())
    return total.hexdigest()


def check_intact(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], where: str) -> None:
    """ValueError si les tenseurs ne sont plus ceux que l’on a enregistrés."""
    if DIGEST in metadata and digest(tensors) != metadata[DIGEST]:
        raise ValueError(
            f"{where} : les poids ne sont plus ceux qui ont été enregistrés, le fichier est "
            "abîmé. Reprenez une copie, ou enregistrez l’adaptateur à nouveau (save_adapter)."
        )


def check_same_base(model: nn.Module, metadata: Mapping[str, str], where: str) -> None:
    """ValueError si l’adaptateur a été fait pour une base aux poids différents."""
    layers = linear_layers(model)
    for path, numbers in _read_samples(metadata, where).items():
        found = _numbers(layers[path]) if path in layers else None
        if found is None:  # une couche quantifiée, ou que la suite refusera
            continue
        expected = torch.tensor(numbers)
        same_size = expected.shape == found.shape
        if not same_size or (found - expected).norm() > MAX_DISTANCE * expected.norm():
            raise ValueError(
                f"{where} : cet adaptateur a été fait pour une autre base, dont les poids de "
                f"« {path} » ne sont pas ceux de ce modèle. Posez-le sur le modèle avec lequel il "
                "a appris."
            )


def check_same_rows(
    model: nn.Module, paths: Mapping[str, str], metadata: Mapping[str, str], where: str
) -> None:
    """ValueError si l’on ne sait pas dans quel ordre l’adaptateur range les lignes d’une couche.

    `paths` : nom de la couche dans le fichier → le nôtre. Helium entrelace les lignes des requêtes
    et des clés ; chargées, elles ne le sont plus, et les formes sont les mêmes.
    """
    origin = origin_of(model)
    if origin is None or origin.family != "helium" or SAMPLE in metadata:
        return
    for name, path in paths.items():
        if name != path and path.endswith((".query", ".key")):
            raise ValueError(
                f"{where} vise « {name} » : dans transformers, Helium y range les lignes par "
                "paires voisines, et rien ne dit si cet adaptateur fait de même. Écrivez le modèle "
                "avec save_folder et refaites l’adaptateur sur ce dossier, ou visez d’autres "
                "couches."
            )


def is_close(tensor: Tensor, weight: Tensor) -> bool:
    """Vrai si les deux matrices sont la même, arrondie peut-être."""
    if tensor.shape != weight.shape:
        return False
    expected = weight.detach().float().cpu()
    return bool((tensor.float() - expected).norm() <= SAME_DISTANCE * expected.norm())


def _read_samples(metadata: Mapping[str, str], where: str) -> dict[str, list[float]]:
    try:
        samples = json.loads(metadata.get(SAMPLE, "{}"))
        return {path: [float(number) for number in numbers] for path, numbers in samples.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        raise ValueError(f"{where} : ce qui y est dit de la base est illisible.") from None


def _numbers(layer: nn.Module) -> Tensor | None:
    """Quelques nombres de la matrice de la base, régulièrement espacés ; None si quantifiée."""
    weight = base_weight(layer)
    if weight is None:
        return None
    flat = weight.detach().flatten()
    places = torch.linspace(0, len(flat) - 1, min(N_NUMBERS, len(flat)), dtype=torch.float64)
    return flat[places.long().to(flat.device)].float().cpu()
