"""Livrer un modèle de type Llama en demi-précision : deux octets par poids au lieu de quatre.

Un F16 garde 11 bits significatifs : l'arrondi change un poids de moins d'un millième, bien moins
que ce que l'apprentissage a laissé d'incertain. Le calcul, lui, reste en simple précision.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from course_lib.files import atomic
from course_lib.transformer.architectures import LlamaConfig, llama
from course_lib.transformer.models import Decoder
from course_lib.transformer.recognition import config_of

_LARGEST = torch.finfo(torch.float16).max


def llama_config(model: Decoder) -> LlamaConfig:
    """Retrouve les tailles d'un décodeur de type Llama (sans son abandon, inutile pour écrire).

    ValueError si le modèle n'en est pas un, ou s'il a ce que la page du cours ne sait pas refaire :
    des biais dans l'attention, des positions étirées.
    """
    message = (
        f"{type(model).__name__} n'est pas un décodeur de type Llama (positions rotatives, "
        "SwiGLU, sans biais). Construisez-le avec llama(LlamaConfig(…))."
    )
    try:
        config = config_of(model)
    except ValueError:
        raise ValueError(message) from None
    if not isinstance(config, LlamaConfig):
        raise ValueError(message)
    if config.attention_bias or config.rope_scaling is not None:
        raise ValueError(
            f"attention_bias = {config.attention_bias}, rope_scaling = {config.rope_scaling} : la "
            "page du cours ne sait refaire ni l'un ni l'autre. Choisissez un modèle qui s'en passe."
        )
    return config


def half_precision_bytes(model: nn.Module) -> bytes:
    """Contenu safetensors des poids en F16 ; des poids liés n'y figurent qu'une fois.

    ValueError si un poids dépasse ce qu'un F16 peut écrire (65 504) ou n'est pas un nombre.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():  # sans doublon pour les poids liés
        weight = parameter.detach()
        if not bool((weight.abs() <= _LARGEST).all()):
            raise ValueError(
                f"« {name} » contient une valeur indéfinie ou plus grande que {_LARGEST:.0f} : la "
                "demi-précision ne peut l'écrire. L'entraînement a-t-il divergé ?"
            )
        tensors[name] = weight.to(torch.float16).contiguous()
    return save(tensors)


def export_half_precision(model: nn.Module, path: str | Path) -> None:
    """Écrit les poids en F16 (safetensors) ; le fichier n'apparaît qu'une fois complet."""
    _write(Path(path), half_precision_bytes(model))


def load_half_precision(path: str | Path, config: LlamaConfig) -> Decoder:
    """Reconstruit le décodeur `config` avec les poids de `export_half_precision`, en F32.

    FileNotFoundError si le fichier manque, ValueError nommant le premier tenseur qui diffère.
    """
    return read_half_precision(path, llama(config))


@torch.no_grad()
def read_half_precision(path: str | Path, model: nn.Module) -> nn.Module:
    """Rend `model`, prêt à l'emploi, avec les poids écrits par `export_half_precision`.

    Mêmes erreurs que `load_half_precision`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Aucun fichier de poids à l’adresse « {path} ».")
    tensors = load_file(path)
    ours = dict(model.named_parameters())
    for name in [*ours, *(name for name in tensors if name not in ours)]:
        found, wanted = tensors.get(name), ours.get(name)
        shapes = [None if one is None else list(one.shape) for one in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"« {name} » : forme {shapes[0] or 'absente'} dans le fichier, "
                f"{shapes[1] or 'absente'} dans le modèle. Ce fichier va avec une autre "
                "configuration."
            )
        wanted.copy_(found)
    return model.eval()


def export_folder(model: Decoder, tokenizer, folder: str | Path) -> None:
    """Écrit ce que la page du cours lit : `model.safetensors`, `config.json`, `tokenizer.json`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(asdict(llama_config(model)), indent=1) + "\n"
    _write(folder / "config.json", config.encode())
    tokenizer.save(folder / "tokenizer.json")
    export_half_precision(model, folder / "model.safetensors")


def _write(path: Path, content: bytes) -> None:
    """Écrit sous un nom provisoire, puis renomme : jamais de fichier à moitié écrit."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)
