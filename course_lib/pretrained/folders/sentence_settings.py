"""Comment un encodeur de phrases tire un vecteur des siens : ce qu’en disent ses fichiers.

    modules.json                            les étapes : Transformer, Pooling, Normalize, Dense…
    1_Pooling/config.json                   moyenne, premier jeton, maximum…
    sentence_bert_config.json               longueur permise, mise en minuscules
    config_sentence_transformers.json       consignes devant les phrases, mesure de ressemblance

Une étape que l’on ne sait pas faire est refusée par son nom. Sans aucun de ces fichiers, c’est la
moyenne des jetons, comme dans sentence-transformers. Source : sentence-transformers,
`models/Pooling.py` et `models/Transformer.py`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.pretrained.fields import Fields, read_settings
from course_lib.tokenization.files import text_fault

_MODE = "pooling_mode_"
POOLINGS = {  # nom dans le fichier → le nôtre
    "cls_token": "cls",
    "mean_tokens": "mean",
    "max_tokens": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean_tokens": "weightedmean",
    "lasttoken": "lasttoken",
}
_LENGTHS = "sentence_*_config.json"
_OTHERS = "config_sentence_transformers.json"
_SILENT = {"word_embedding_dimension", "embedding_dimension", "include_prompt", "pooling_mode"}
_IDENTITY = {"Transformer", "Pooling", "Normalize", "Dropout"}  # Dropout : nul hors entraînement
_SIMILARITIES = (None, "cosine", "dot", "dot_score", "cos_sim")


@dataclass(frozen=True)
class SentenceSettings:
    """Ce que `sentence_embeddings` doit faire. `pooling` : une des valeurs de POOLINGS.

    `unit` : les vecteurs ont la norme 1 ; faux pour un modèle dont la mesure est le produit
    scalaire et qui n’a pas d’étape Normalize. `prompts` : nom → texte mis devant chaque phrase.
    """

    pooling: str = "mean"
    unit: bool = True
    max_length: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True


def sentence_files(folder: Path) -> dict[str, object]:
    """Le contenu brut des fichiers d’un encodeur de phrases, {} si le dossier n’en a pas.

    ValueError si l’un est illisible, ou si une étape est rangée hors du dossier.
    """
    root = folder.parent if folder.name == "0_Transformer" else folder
    files: dict[str, object] = {}
    modules = _read_modules(root)
    if modules:
        files["modules"] = modules
    for path in sorted(root.glob("*_Pooling/config.json")):
        files[path.relative_to(root).as_posix()] = read_settings(path)
    lengths = sorted(folder.glob(_LENGTHS))
    for path in [*lengths, root / _OTHERS]:
        if path.is_file():
            files[_LENGTHS if path in lengths else _OTHERS] = read_settings(path)
    return files


def read_sentence_settings(files: Mapping[str, object]) -> SentenceSettings:
    """Ce que disent ces fichiers ; ValueError, qui nomme l’étape, si l’on ne sait pas le faire."""
    modules = files.get("modules", [])
    kinds = [kind for kind, _ in modules]
    for kind, path in modules:
        if kind not in _IDENTITY:
            raise ValueError(
                f"modules.json : l’étape « {path or kind} », de sorte {kind}, n’est pas prise en "
                "charge, et sans elle les vecteurs seraient faux. Lisez ce modèle avec "
                "sentence-transformers."
            )
    if modules and (kinds[0] != "Transformer" or kinds.count("Pooling") != 1):
        raise ValueError(
            f"modules.json : les étapes {', '.join(kinds)} ne sont pas celles d’un encodeur "
            "(Transformer, Pooling, puis parfois Normalize)."
        )
    place = next((path for kind, path in modules if kind == "Pooling"), None)
    named = f"{place}/config.json" if place else None
    poolings = [name for name in files if name.endswith("_Pooling/config.json")]
    if named is None and poolings:
        named = poolings[0]
    if named is not None and named not in files:
        raise ValueError(f"modules.json annonce « {named} », qui manque : téléchargez-le.")
    pooling, include = _read_pooling(files, named) if named else ("mean", True)
    others = Fields(files.get(_OTHERS, {}), _OTHERS)
    others.demand("similarity_fn_name", _SIMILARITIES, None, "Notre mesure est le cosinus.")
    dot = str(others.content.get("similarity_fn_name")).startswith("dot")
    prompts, default = _read_prompts(others)
    length, lowercase = _read_lengths(files)
    unit = "Normalize" in kinds or not dot
    return SentenceSettings(pooling, unit, length, lowercase, prompts, default, include)


def _read_modules(root: Path) -> list[tuple[str, str]]:
    """(sorte, dossier) de chaque étape ; d’après les noms des dossiers si modules.json manque."""
    path = root / "modules.json"
    if not path.is_file():
        steps = sorted(one.name for one in root.iterdir() if re.fullmatch(r"[1-9]_\w+", one.name))
        return [("Transformer", "")] + [(step[2:], step) for step in steps] if steps else []
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"« {path.name} » n’est pas un JSON en UTF-8 : {text_fault(error)}."
        ) from None
    if not isinstance(content, list) or not content:
        raise ValueError("« modules.json » n’est pas une liste d’étapes.")
    return [_module(one, rank) for rank, one in enumerate(content)]


def _module(one: object, rank: int) -> tuple[str, str]:
    place = one.get("path") if isinstance(one, dict) else None
    if not isinstance(place, str) or not re.fullmatch(r"[\w-]*", place):
        raise ValueError(
            f"« modules.json » : l’étape {rank} est {one!r} ; il lui faut un « path », le nom d’un "
            "sous-dossier."
        )
    kind = one.get("type")
    if isinstance(kind, str) and kind:
        return kind.rpartition(".")[2], place
    return (place.partition("_")[2] or place) if place else "Transformer", place


def _read_pooling(files: Mapping[str, object], name: str) -> tuple[str, bool]:
    """La façon de réunir les vecteurs, et si les jetons de la consigne y comptent."""
    fields = Fields(files[name], name)
    for key in fields.content.keys() - _SILENT - {_MODE + mode for mode in POOLINGS}:
        fields.demand(key, [None, False], None, "Ce réglage pourrait changer les vecteurs.")
    include = fields.boolean("include_prompt", True)
    single = fields.content.get("pooling_mode")
    if single is not None:
        fields.demand("pooling_mode", POOLINGS.values(), None, "On ne sait pas réunir ainsi.")
        return str(single), include
    # Comme dans sentence-transformers : sans réglage, c’est la moyenne.
    chosen = [
        ours
        for mode, ours in POOLINGS.items()
        if fields.boolean(_MODE + mode, mode == "mean_tokens")
    ]
    if len(chosen) != 1:
        raise ValueError(
            f"{name} : {len(chosen)} façons de réunir les vecteurs ({', '.join(chosen)}) ; on n’en "
            "sait faire qu’une à la fois."
        )
    return chosen[0], include


def _read_lengths(files: Mapping[str, object]) -> tuple[int | None, bool]:
    fields = Fields(files.get(_LENGTHS, {}), "sentence_bert_config.json")
    for name in ("model_args", "tokenizer_args", "config_args", "processor_args"):
        fields.demand(name, [None, {}], None, "Ces réglages pourraient changer les vecteurs.")
    length = fields.integer("max_seq_length", None)
    if length is not None and length < 2:
        raise ValueError(f"{fields.where} : max_seq_length = {length} ; il faut 2 au moins.")
    return length, fields.boolean("do_lower_case", False)


def _read_prompts(fields: Fields) -> tuple[dict[str, str], str | None]:
    prompts = fields.content.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise ValueError(f"{fields.where} : prompts = {prompts!r} ; il faut nom → texte.")
    default = fields.content.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise ValueError(
            f"{fields.where} : default_prompt_name = {default!r} n’est pas un des prompts "
            f"({', '.join(prompts)})."
        )
    return prompts, default
