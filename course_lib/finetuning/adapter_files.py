"""Enregistrer un adaptateur seul : quelques mégaoctets, au format de la bibliothèque `peft`.

    adapter_config.json            rang, échelle, couches visées
    adapter_model.safetensors      base_model.model.<couche>.lora_A.weight, lora_B.weight
                                   et, pour DoRA, lora_magnitude_vector

`peft` relit ces fichiers sur le même modèle, et l’on relit les siens.
"""

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from course_lib.finetuning.layers import linear_layers
from course_lib.finetuning.lora import (
    DEFAULT_NAME,
    LoRAConfig,
    adapter_names,
    attach_lora,
    detach_adapters,
    lora_layers,
)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
SUFFIXES = {"a": ".lora_A.weight", "b": ".lora_B.weight", "magnitude": ".lora_magnitude_vector"}


def save_adapter(
    model: nn.Module,
    folder: str | Path,
    name: str = DEFAULT_NAME,
    base_model: str | None = None,
) -> None:
    """Écrit l’adaptateur `name` dans un dossier, qui n’apparaît qu’une fois complet.

    `base_model` : le nom de la base, pour mémoire. ValueError si l’adaptateur n’existe pas ;
    FileExistsError si le dossier contient autre chose qu’un adaptateur.
    """
    folder = Path(folder)
    layers = {path: m for path, m in lora_layers(model).items() if name in m.adapters}
    if not layers:
        listed = ", ".join(adapter_names(model)) or "aucun"
        raise ValueError(f"Adaptateur inconnu : « {name} ». Ceux du modèle : {listed}.")
    if folder.exists() and {child.name for child in folder.iterdir()} - {CONFIG, WEIGHTS}:
        raise FileExistsError(
            f"« {folder} » contient autre chose qu’un adaptateur : choisissez un autre dossier."
        )
    tensors = {}
    for path, layer in layers.items():
        for kind, weights in layer.adapters[name].named_parameters():
            tensors[f"{PREFIX}{path}{SUFFIXES[kind]}"] = weights.detach().contiguous()
    config = next(iter(layers.values())).adapters[name].config
    content = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": sorted(layers),
        "use_rslora": config.rank_stabilized,
        "use_dora": config.magnitude,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (temporary / CONFIG).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        save_file(tensors, temporary / WEIGHTS, {"format": "pt"})
        os.chmod(temporary, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_adapter(model: nn.Module, folder: str | Path, name: str = DEFAULT_NAME) -> list[str]:
    """Pose sur le modèle un adaptateur enregistré ; rend les noms des couches adaptées.

    FileNotFoundError si un fichier manque. ValueError si l’adaptateur n’est pas un LoRA simple, ou
    s’il est d’une autre base : le message nomme la couche ou la forme qui diffère ; le modèle est
    alors inchangé.
    """
    folder = Path(folder)
    for file_name in (CONFIG, WEIGHTS):
        if not (folder / file_name).is_file():
            raise FileNotFoundError(
                f"« {folder} » n’a pas de « {file_name} » : est-ce un adaptateur ?"
            )
    config, tensors = _read(folder)
    linears = set(linear_layers(model))
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        kind = next((kind for kind, suffix in SUFFIXES.items() if key.endswith(suffix)), None)
        if kind is None:
            raise ValueError(
                f"« {key} » n’est pas un poids de LoRA simple : on ne sait pas le lire."
            )
        path = key.removeprefix(PREFIX).removesuffix(SUFFIXES[kind])
        found.setdefault(path, {})[kind] = tensor
    for path, weights in found.items():
        _check_fits(model, path, weights, linears, config)
    before = set(adapter_names(model))
    chosen = attach_lora(model, replace(config, targets=tuple(found)), name)
    if set(chosen) != set(found):
        if not before:
            detach_adapters(model)
        raise ValueError("Les couches de l’adaptateur ne sont pas celles du modèle.")
    with torch.no_grad():
        for path, weights in found.items():
            adapter = lora_layers(model)[path].adapters[name]
            for kind, tensor in weights.items():
                getattr(adapter, kind).copy_(tensor)
    return chosen


def _read(folder: Path) -> tuple[LoRAConfig, dict[str, torch.Tensor]]:
    try:
        content = json.loads((folder / CONFIG).read_text("utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"L’adaptateur de « {folder} » est illisible : {error}.") from None
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise ValueError(f"« {folder} » n’est pas un adaptateur LoRA.")
    for option in (
        "fan_in_fan_out",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
    ):
        if content.get(option):
            raise ValueError(f"{option} = {content[option]!r} n’est pas pris en charge.")
    if content.get("bias", "none") != "none":
        raise ValueError(f"bias = {content['bias']!r} n’est pas pris en charge.")
    sizes = (content.get("r"), content.get("lora_alpha"), content.get("lora_dropout", 0.0))
    options = {"rank_stabilized": "use_rslora", "magnitude": "use_dora"}
    switches = {ours: bool(content.get(theirs)) for ours, theirs in options.items()}
    return LoRAConfig(*sizes, **switches), tensors


def _check_fits(
    model: nn.Module,
    path: str,
    weights: dict[str, torch.Tensor],
    linears: set[str],
    config: LoRAConfig,
) -> None:
    if path not in linears:
        raise ValueError(
            f"L’adaptateur vise la couche « {path} », que ce modèle n’a pas : il est d’une autre "
            f"base. Le modèle a par exemple : {', '.join(sorted(linears)[:5])}."
        )
    layer = model.get_submodule(path)
    wanted = {"a": (config.rank, layer.in_features), "b": (layer.out_features, config.rank)}
    if config.magnitude:
        wanted["magnitude"] = (layer.out_features,)
    found = {kind: tuple(tensor.shape) for kind, tensor in weights.items()}
    if found != wanted:
        raise ValueError(
            f"« {path} » : l’adaptateur a les formes {found}, il faut {wanted}. Il est d’une autre "
            "base, ou abîmé."
        )
