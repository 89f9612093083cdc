"""Enregistrer un adaptateur seul : quelques mégaoctets, au format de la bibliothèque `peft`.

    adapter_config.json            rang, échelle, couches visées
    adapter_model.safetensors      base_model.model.<couche>.lora_A.weight, lora_B.weight
                                   et, pour DoRA, lora_magnitude_vector

`peft` relit ces fichiers, et l’on relit les siens : sur nos modèles, sous nos noms de couches ; ou
sur ceux de transformers, sous les leurs.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from course_lib.files import new_folder
from course_lib.finetuning.adapter_base import (
    check_intact,
    check_same_base,
    check_same_rows,
    is_close,
    marks,
)
from course_lib.finetuning.adapter_layers import (
    FileLayer,
    Matrices,
    base_copies,
    base_shape,
    joined,
    our_layers,
    published_family,
    published_layers,
    without_prefix,
)
from course_lib.finetuning.adapter_settings import (
    OTHER_WAY,
    AdapterSettings,
    read_settings_of,
    write_settings,
)
from course_lib.finetuning.lora import (
    DEFAULT_NAME,
    LoRALinear,
    check_known,
    lora_layers,
    place_adapters,
)
from course_lib.finetuning.lora_weights import LoRAConfig, check_matrix
from course_lib.pretrained.fields import read_settings

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
PREFIX = "base_model.model."
SUFFIXES = {"a": ".lora_A.weight", "b": ".lora_B.weight", "magnitude": ".lora_magnitude_vector"}
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
Names = dict[str, list[FileLayer]]


def save_adapter(
    model: nn.Module,
    folder: str | Path,
    name: str = DEFAULT_NAME,
    base_model: str | None = None,
    for_transformers: bool = False,
) -> None:
    """Écrit l’adaptateur `name` dans un dossier, qui n’apparaît qu’une fois complet.

    `base_model` : le nom de la base, pour mémoire. `for_transformers` : sous les noms de couches de
    transformers, pour PeftModel.from_pretrained(AutoModelForCausalLM…) sur la base que save_folder
    a écrite ; sinon sous les nôtres, pour peft sur nos modèles. load_adapter lit les deux.
    ValueError si l’adaptateur n’existe pas, si un de ses nombres n’est pas fini, ou si transformers
    n’a pas ces couches ; FileExistsError si le dossier contient autre chose qu’un adaptateur.
    """
    folder = Path(folder).expanduser()
    check_known(model, str(name))
    _check_free(folder)
    # Une couche adaptée peut être dans une autre enveloppe, dont elle est la base.
    layers = {
        path.removesuffix(".base"): layer
        for path, layer in lora_layers(model).items()
        if name in layer.adapters
    }
    configs, tensors = _packed(model, layers, name, for_transformers)
    for key, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(
                f"« {key} » contient une valeur qui n’est pas un nombre fini : l’entraînement "
                "a-t-il divergé ?"
            )
    family = published_family(model) if for_transformers else None
    task = None if family in (None, "bert", "roberta") else "CAUSAL_LM"
    content = write_settings(configs, base_model, task, transposed=family == "gpt2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as temporary:
        (temporary / CONFIG).write_text(content, encoding="utf-8", newline="\n")
        save_file(tensors, temporary / WEIGHTS, {"format": "pt"} | marks(tensors, layers))


def load_adapter(model: nn.Module, folder: str | Path, name: str = DEFAULT_NAME) -> list[str]:
    """Pose sur le modèle un adaptateur enregistré ; rend les noms des couches adaptées.

    Il vient de save_adapter, ou de peft, sur notre modèle ou sur le même dans transformers
    (llama, mistral, qwen2, qwen3, gpt2, bert, roberta, camembert ; helium, hors des requêtes et des
    clés, dont il entrelace les lignes). Il prend le type de nombres de la base.
    FileNotFoundError si un fichier manque. ValueError si l’adaptateur n’est pas un LoRA que l’on
    sait lire, s’il est abîmé, ou s’il est d’une autre base : le message nomme le champ, la couche
    ou la forme ; le modèle est alors inchangé.
    """
    folder = Path(folder).expanduser()
    settings, tensors, metadata = _read(folder)
    tensors = _without_copies(model, tensors)
    found = _by_layer(tensors)
    names = _names_in_file(model, set(found))
    for layer, matrices in found.items():
        _check_fits(model, layer, names[layer], matrices, settings.config_of(layer))
    check_same_base(model, metadata, f"« {folder} »")
    rows = {layer: names[layer][0].path for layer in found}
    check_same_rows(model, rows, metadata, f"« {folder} »")
    _check_targets(settings, set(found), names)
    parts = {
        one.path: (settings.config_of(layer), one.take(matrices))
        for layer, matrices in found.items()
        for one in names[layer]
    }
    paths = [path for path in our_layers(model) if path in parts]  # l’ordre du modèle
    place_adapters(model, {path: parts[path][0] for path in paths}, name)
    with torch.no_grad():
        for path in paths:
            adapter = model.get_submodule(path).adapters[name]
            for kind, tensor in parts[path][1].items():
                getattr(adapter, kind).copy_(tensor)
    return paths


def _packed(
    model: nn.Module, layers: dict[str, LoRALinear], name: str, for_transformers: bool
) -> tuple[dict[str, LoRAConfig], dict[str, Tensor]]:
    """Les réglages et les tenseurs de chaque couche, sous les noms du fichier."""
    names = published_layers(model) if for_transformers else our_layers(model)
    unknown = set(layers) - {one.path for parts in names.values() for one in parts}
    if unknown:
        raise ValueError(
            f"transformers n’a pas de couche « {min(unknown)} » : enregistrez l’adaptateur sous "
            "nos noms, sans for_transformers."
        )
    adapters = {path: layer.adapters[name] for path, layer in layers.items()}
    configs, tensors = {}, {}
    with torch.no_grad():
        for file_name, parts in names.items():
            if any(one.path in adapters for one in parts):
                configs[file_name], matrices = joined(model, parts, adapters)
                for kind, tensor in matrices.items():
                    key = f"{PREFIX}{file_name}{SUFFIXES[kind]}"
                    tensors[key] = tensor.detach().contiguous()
    return configs, tensors


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(
            f"« {folder} » existe et n’est pas un dossier : choisissez un autre nom."
        )
    if folder.exists() and {child.name for child in folder.iterdir()} - {CONFIG, WEIGHTS}:
        raise FileExistsError(
            f"« {folder} » contient autre chose qu’un adaptateur : choisissez un autre dossier."
        )


def _read(folder: Path) -> tuple[AdapterSettings, dict[str, Tensor], dict[str, str]]:
    """Les réglages, les tenseurs et les métadonnées d’un dossier, vérifiés en eux-mêmes."""
    for file_name in (CONFIG, WEIGHTS):
        if not (folder / file_name).is_file():
            why = "est-ce un adaptateur ?"
            if file_name == WEIGHTS and (folder / PICKLE).is_file():
                why = (
                    f"il a « {PICKLE} », qui peut exécuter du code à l’ouverture : on ne le lit "
                    "pas. Dans peft, enregistrez-le avec save_pretrained."
                )
            raise FileNotFoundError(f"« {folder} » n’a pas de « {file_name} » : {why}")
    settings = read_settings_of(read_settings(folder / CONFIG), CONFIG)
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"L’adaptateur de « {folder} » est illisible : {error}.") from None
    check_intact(tensors, metadata, f"« {folder} »")
    for key, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise ValueError(f"« {key} » est en {tensor.dtype} : il faut des nombres à virgule.")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"« {key} » contient une valeur qui n’est pas un nombre fini.")
    return settings, tensors, metadata


def _without_copies(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sans les embeddings ni la tête de la base, que peft recopie si un adaptateur vise la tête.

    ValueError s’ils ne sont pas ceux du modèle : peft les mettrait à leur place.
    """
    weights = base_copies(model)
    kept = {}
    for key, tensor in tensors.items():
        weight = weights.get(key.removeprefix(PREFIX).replace(".base_layer.", "."))
        if weight is None:
            kept[key] = tensor
        elif not is_close(tensor, weight):
            raise ValueError(
                f"« {key} » n’est pas la matrice de ce modèle : elle a été entraînée, ou le "
                f"vocabulaire agrandi. {OTHER_WAY} Si elle n’a pas changé, enregistrez "
                "l’adaptateur avec save_pretrained(…, save_embedding_layers=False)."
            )
    return kept


def _by_layer(tensors: dict[str, Tensor]) -> dict[str, Matrices]:
    """Les matrices de chaque couche, d’après les noms des tenseurs."""
    found: dict[str, Matrices] = {}
    for key, tensor in tensors.items():
        kind = next((kind for kind, suffix in SUFFIXES.items() if key.endswith(suffix)), None)
        if kind is None or not key.startswith(PREFIX):
            raise ValueError(
                f"« {key} » n’est pas un poids de LoRA sur une couche linéaire : on ne sait pas le "
                f"lire. {OTHER_WAY}"
            )
        found.setdefault(key.removeprefix(PREFIX).removesuffix(SUFFIXES[kind]), {})[kind] = tensor
    if not found:
        raise ValueError("Cet adaptateur n’a aucun poids : il n’a pas été enregistré en entier.")
    return found


def _names_in_file(model: nn.Module, layers: set[str]) -> Names:
    """Toutes les couches du modèle, nommées à la façon du fichier."""
    ours, published = our_layers(model), published_layers(model)
    choices = [ours, published, without_prefix(model, published)]
    best = max(choices, key=lambda names: len(layers & set(names)))
    for layer in sorted(layers - set(best)):
        raise ValueError(
            f"L’adaptateur vise la couche « {layer} », que ce modèle n’a pas : il est d’une autre "
            f"base. Le modèle a par exemple : {', '.join(sorted(best)[:5])}."
        )
    return best


def _check_targets(settings: AdapterSettings, layers: set[str], names: Names) -> None:
    """ValueError si les réglages visent d’autres couches que celles du fichier."""
    if settings.targets == "all-linear":  # une tournure, que peft résout avant d’enregistrer
        return
    for layer in sorted(names):
        if settings.selects(layer) != (layer in layers):
            there = "a des poids pour" if layer in layers else "n’a pas de poids pour"
            raise ValueError(
                f"Les deux fichiers de l’adaptateur se contredisent : {WEIGHTS} {there} la couche "
                f"« {layer} », et ce n’est pas ce que dit {CONFIG} (target_modules, "
                "exclude_modules, layers_to_transform). Reprenez les deux à la même source."
            )


def _check_fits(
    model: nn.Module, name: str, parts: list[FileLayer], matrices: Matrices, config: LoRAConfig
) -> None:
    """ValueError si les matrices d’une couche n’ont pas les formes ou le type qu’il faut."""
    n_inputs, n_outputs = base_shape(model, parts)
    wanted = {"a": (config.rank, n_inputs), "b": (n_outputs, config.rank)}
    if config.magnitude:
        wanted["magnitude"] = (n_outputs,)
    found = {kind: tuple(tensor.shape) for kind, tensor in matrices.items()}
    if found != wanted:
        raise ValueError(
            f"« {name} » : l’adaptateur a les formes {found}, il faut {wanted}. Il est d’une autre "
            "base, ou abîmé."
        )
    weight = model.get_submodule(parts[0].path).weight
    check_matrix(weight)
    for kind, tensor in matrices.items():
        if not bool(tensor.to(weight.dtype).isfinite().all()):
            raise ValueError(
                f"« {name}{SUFFIXES[kind]} » a des nombres trop grands pour le type de la base, "
                f"{weight.dtype}. Posez-le sur une base en torch.float32."
            )
