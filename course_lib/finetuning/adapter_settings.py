"""Les réglages d’un adaptateur de `peft`, `adapter_config.json` : obéis, ou refusés par leur nom.

Tout champ qui change le calcul est soit suivi, soit refusé avec sa valeur. Un champ que l’on ne
connaît pas est refusé dès qu’il n’est pas vide : mieux vaut ne pas lire un adaptateur que le lire
faux. Source des champs et de leur sens : `LoraConfig` et `tuners_utils.py` de peft 0.21.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import regex

from course_lib.finetuning.lora_weights import LoRAConfig
from course_lib.pretrained.fields import Fields

OTHER_WAY = (
    "Dans peft, fondez l’adaptateur dans son modèle (merge_and_unload), enregistrez le tout "
    "(save_pretrained) et ouvrez-le avec load_pretrained."
)
CONVERT = (
    "Ce départ a changé les poids de la base. Dans peft, enregistrez l’adaptateur avec "
    "save_pretrained(…, path_initial_model_for_weight_conversion=…), ou fondez-le dans son modèle "
    "(merge_and_unload) et ouvrez celui-ci avec load_pretrained."
)
# Ce qui n’entre pas dans le calcul : pour mémoire, ou pour le seul tirage des poids au départ.
IGNORED = {
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
}
OBEYED = {
    "alpha_pattern",
    "bias",
    "exclude_modules",
    "fan_in_fan_out",  # le rangement de la matrice de la base : A et B n’en dépendent pas
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
}
# Tirages qui laissent la base intacte ; les autres (pissa, olora, corda, loftq…) la changent.
GENTLE_STARTS = (True, False, "gaussian", "eva", "orthogonal", "mica")
_SECONDS = 1.0  # un motif du fichier peut être fait pour ne jamais finir


@dataclass(frozen=True)
class AdapterSettings:
    """Les réglages lus. `lora` : ceux des couches qui n’ont ni rang ni échelle à elles."""

    lora: LoRAConfig
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    targets: str | Sequence[str]
    excluded: str | Sequence[str]
    layers: Sequence[int]
    layers_pattern: Sequence[str]

    def selects(self, name: str) -> bool:
        """Vrai si ces réglages visent la couche `name` (son nom dans le fichier)."""
        if _designates(self.excluded, name) or not _designates(self.targets, name):
            return False
        return not self.layers or self._layer_of(name) in self.layers

    def config_of(self, name: str) -> LoRAConfig:
        """Le rang et l’échelle de la couche `name`."""
        rank = _first_match(self.ranks, name, self.lora.rank)
        alpha = _first_match(self.alphas, name, self.lora.alpha)
        return replace(self.lora, rank=rank, alpha=alpha)

    def _layer_of(self, name: str) -> int | None:
        """Le numéro de l’étage : le premier que l’on rencontre dans le nom."""
        patterns = [rf"(?:^|.*?\.){pattern}\.(\d+)\." for pattern in self.layers_pattern]
        for pattern in patterns or [r".*?\.[^.]*\.(\d+)\."]:
            found = _match(pattern, name)
            if found is not None:
                return int(found[1])
        return None


def read_settings_of(content: Mapping[str, object], where: str) -> AdapterSettings:
    """Les réglages d’un adaptateur LoRA, d’après le contenu de son fichier ; `where` le nomme.

    ValueError, avec le nom du champ et sa valeur, si l’un d’eux manque, n’est pas du bon type, ou
    demande ce que l’on ne sait pas faire.
    """
    fields = Fields(content, where)
    if content.get("peft_type") != "LORA":
        raise ValueError(
            f"{where} : peft_type = {content.get('peft_type')!r} n’est pas un adaptateur LoRA, les "
            f"seuls que l’on sait lire. {OTHER_WAY}"
        )
    fields.demand("bias", ["none", None], "none", OTHER_WAY)
    fields.boolean("fan_in_fan_out", False)
    _check_start(content.get("init_lora_weights", True), where)
    for name, value in content.items():
        if name not in IGNORED | OBEYED and value not in (None, False, [], {}):
            raise ValueError(f"{where} : {name} = {value!r} n’est pas pris en charge. {OTHER_WAY}")
    layers = content.get("layers_to_transform")
    settings = AdapterSettings(
        LoRAConfig(
            fields.integer("r"),
            fields.number("lora_alpha"),
            fields.number("lora_dropout", 0.0),
            rank_stabilized=fields.boolean("use_rslora", False),
            magnitude=fields.boolean("use_dora", False),
        ),
        _mapping(fields, "rank_pattern"),
        _mapping(fields, "alpha_pattern"),
        _names(fields, "target_modules"),
        _names(fields, "exclude_modules"),
        [] if layers is None else layers if isinstance(layers, list) else [layers],
        _as_list(_names(fields, "layers_pattern")),
    )
    if any(type(layer) is not int for layer in settings.layers):
        raise ValueError(f"{where} : layers_to_transform = {layers!r} ; il faut des entiers.")
    if not settings.targets:
        raise ValueError(f"{where} : le champ « target_modules » manque : on ne sait quoi adapter.")
    return settings


def write_settings(
    configs: Mapping[str, LoRAConfig], base_model: str | None, task: str | None, transposed: bool
) -> str:
    """Le contenu d’`adapter_config.json`, d’après les réglages de chaque couche (noms du fichier).

    `transposed` : la base range ses matrices à l’envers (les `Conv1D` de GPT-2).
    """
    common = next(iter(configs.values()))
    different = {name: one for name, one in configs.items() if one.rank != common.rank}
    scaled = {name: one for name, one in configs.items() if one.alpha != common.alpha}
    content = {
        "peft_type": "LORA",
        "task_type": task,
        "base_model_name_or_path": base_model,
        "r": common.rank,
        "lora_alpha": common.alpha,
        "lora_dropout": common.dropout,
        "target_modules": sorted(configs),
        "rank_pattern": {_exactly(name): one.rank for name, one in different.items()},
        "alpha_pattern": {_exactly(name): one.alpha for name, one in scaled.items()},
        "use_rslora": common.rank_stabilized,
        "use_dora": common.magnitude,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "inference_mode": True,
    }
    return json.dumps(content, indent=1) + "\n"


def _exactly(name: str) -> str:
    return "^" + regex.escape(name, special_only=True)


def _check_start(value: object, where: str) -> None:
    if not any(type(value) is type(start) and value == start for start in GENTLE_STARTS):
        raise ValueError(
            f"{where} : init_lora_weights = {value!r} n’est pas pris en charge. {CONVERT}"
        )


def _mapping(fields: Fields, name: str) -> dict[str, object]:
    value = fields.content.get(name) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{fields.where} : {name} = {value!r} ; il faut un dictionnaire.")
    return value


def _names(fields: Fields, name: str) -> str | list[str]:
    value = fields.content.get(name) or []
    valid = isinstance(value, list) and all(isinstance(one, str) for one in value)
    if not valid and not isinstance(value, str):
        raise ValueError(f"{fields.where} : {name} = {value!r} ; il faut des noms de couches.")
    return value


def _as_list(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _designates(names: str | Sequence[str], layer: str) -> bool:
    """Une liste de fins de noms, ou un motif pour le nom entier ; « all-linear » : toutes."""
    if isinstance(names, str):
        return names == "all-linear" or _match(f"(?:{names})$", layer) is not None
    return any(layer == name or layer.endswith(f".{name}") for name in names)


def _first_match(patterns: Mapping[str, object], layer: str, default: object) -> object:
    for pattern, value in patterns.items():
        if _match(rf"(.*\.)?({pattern})$", layer) is not None:
            return value
    return default


def _match(pattern: str, name: str) -> regex.Match | None:
    try:
        return regex.match(pattern, name, timeout=_SECONDS)
    except (regex.error, TimeoutError, RecursionError) as error:
        raise ValueError(
            f"Le motif {pattern!r} de l’adaptateur ne se lit pas ({error}) : donnez des noms de "
            "couches."
        ) from None
