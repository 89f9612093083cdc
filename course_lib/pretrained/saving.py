"""Enregistrer un de nos modèles pour les outils des autres : transformers, llama.cpp.

    save_folder   un dossier Hugging Face : config.json, model.safetensors, tokenizer.json…
    save_gguf     un fichier GGUF, en F32, F16 ou Q8_0

Le dossier ou le fichier n’apparaît qu’une fois complet, sous un nom qui n’a jamais été provisoire.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.families import Config, write_config
from course_lib.pretrained.gguf_blocks import BLOCKS
from course_lib.pretrained.gguf_models import ROPE_FACTORS, gguf_settings, rope_factors
from course_lib.pretrained.gguf_writer import write_gguf
from course_lib.pretrained.new_folders import new_folder
from course_lib.pretrained.places import gguf_place, pack, published_place
from course_lib.pretrained.tokenizers import ROLES, SharedTokenizer, gguf_tokenizer_metadata
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder, LlamaConfig
from course_lib.transformer.plain import plain_model
from course_lib.transformer.recognition import config_of

FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
MARK = "saved_by"  # dans config.json : ce dossier est de nous, on peut l’écraser
AUTHOR = "course_lib"
FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7}
UNUSED = 5  # type de jeton GGUF : une ligne de la matrice que le tokeniseur n’emploie pas


def save_folder(
    model: Decoder,
    tokenizer: Tokenizer | SharedTokenizer,
    folder: str | Path,
    *,
    chat_template: ChatTemplate | str | None = None,
    eos_ids: Sequence[int] | None = None,
    overwrite: bool = False,
) -> None:
    """Écrit un dossier que lisent AutoModelForCausalLM et AutoTokenizer, hors ligne.

    Modèles de type Llama (« llama », ou « qwen2 » s’il a des biais) et GPT-2 ; poids en F32.
    Un adaptateur LoRA qui sert est fondu dans les poids écrits ; le modèle, lui, ne change pas.
    `eos_ids` : les jetons où s’arrête une génération ; par défaut, le jeton de fin du tokeniseur.
    `overwrite` : remplace, avec tout son contenu, un dossier qui n’est pas de nous. ValueError si
    le modèle est d’un autre type, ou porte un goulot, un préfixe ou une amorce ; si le tokeniseur
    a plus de jetons que lui, si un poids n’est pas un nombre. FileExistsError si le dossier est
    pris ; FileNotFoundError si son parent manque.
    """
    folder = Path(folder)
    _check_free(folder, overwrite)
    model = plain_model(model)
    config = _check_pair(model, tokenizer)
    content = write_config(config)
    weights = _named_weights(model)
    places = {ours: published_place(content["model_type"], ours) for ours in weights}
    eos_ids = _end_ids(tokenizer, eos_ids, config)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_id") for role in ("bos", "pad")}
    ids["eos_token_id"] = eos_ids[0] if len(eos_ids) == 1 else list(eos_ids) or None
    with new_folder(folder) as temporary:
        _write_json(temporary / "config.json", content | ids | {"dtype": "float32", MARK: AUTHOR})
        known = {name: value for name, value in ids.items() if value is not None}
        _write_json(temporary / "generation_config.json", known)
        metadata = {"format": "pt"}
        save_file(pack(places, weights), temporary / "model.safetensors", metadata)
        tokenizer.save(temporary / "tokenizer.json")
        settings = _tokenizer_settings(tokenizer, config, chat_template)
        _write_json(temporary / "tokenizer_config.json", settings)


def save_gguf(
    model: Decoder,
    tokenizer: Tokenizer,
    path: str | Path,
    kind: str = "F16",
    *,
    name: str | None = None,
    chat_template: ChatTemplate | str | None = None,
) -> None:
    """Écrit un GGUF que lisent llama.cpp et transformers ; remplace le fichier s’il existe.

    `kind` : « F32 », « F16 » ou « Q8_0 ». Comme le fait llama.cpp, les normes et les biais restent
    en F32, et une matrice dont la largeur n’est pas un multiple de 32, que Q8_0 ne sait pas
    découper, passe en F16. Un adaptateur LoRA qui sert est fondu dans les poids écrits ; le modèle,
    lui, ne change pas. `name` : le nom du modèle, par défaut celui du fichier. ValueError si
    le modèle n’est pas de type Llama ou porte un goulot, un préfixe ou une amorce, si `kind` est
    inconnu, si le tokeniseur n’est pas un BPETokenizer ou a plus de jetons que le modèle, si un
    poids est indéfini ou trop grand.
    """
    path = Path(path)
    if kind not in FILE_TYPES:
        raise ValueError(f"kind = {kind!r} : choisissez parmi {', '.join(FILE_TYPES)}.")
    model = plain_model(model)
    config = _check_pair(model, tokenizer)
    if not isinstance(config, LlamaConfig):
        raise ValueError(
            "Seuls les modèles de type Llama s’écrivent ici en GGUF : enregistrez celui-ci avec "
            "save_folder."
        )
    architecture = "qwen2" if config.attention_bias else "llama"
    metadata = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": name or path.stem,
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        **gguf_settings(config, architecture),
        **_padded(gguf_tokenizer_metadata(tokenizer), config.vocab_size),
    }
    if chat_template is not None:
        metadata["tokenizer.chat_template"] = _template_source(chat_template)
    weights = _named_weights(model)
    heads = (config.n_heads, config.n_kv_heads)
    places = {ours: gguf_place(ours, architecture, *heads) for ours in weights}
    arrays = {name: tensor.numpy() for name, tensor in pack(places, weights).items()}
    if config.rope_scaling is not None:
        factors = rope_factors(config.rope_scaling, config.head_dim, config.rope_theta)
        arrays[ROPE_FACTORS] = factors.numpy()
    tensors = [(name, array, _kind_of(array, kind)) for name, array in arrays.items()]
    write_gguf(path, metadata, tensors)


def _kind_of(array: np.ndarray, kind: str) -> str:
    """Le format d’un tenseur : F32 pour un vecteur, F16 si ses lignes ne font pas des blocs."""
    if array.ndim == 1:
        return "F32"
    return "F16" if array.shape[-1] % BLOCKS[kind].n_values else kind


def _padded(metadata: dict[str, object], vocab_size: int) -> dict[str, object]:
    """Un nom pour chaque ligne de la matrice que le tokeniseur n’emploie pas."""
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    extra = range(len(tokens), vocab_size)
    kinds = [*kinds, *(UNUSED for _ in extra)]
    return metadata | {
        "tokenizer.ggml.tokens": [*tokens, *(f"[PAD{rank}]" for rank in extra)],
        "tokenizer.ggml.token_type": [np.int32(kind) for kind in kinds],
    }


def _check_pair(model: Decoder, tokenizer: Tokenizer | SharedTokenizer) -> Config:
    _check_tied(model)
    config = config_of(model)
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"Le tokeniseur a {tokenizer.vocab_size} jetons et le modèle n’en connaît que "
            f"{config.vocab_size} : donnez celui avec lequel le modèle a appris."
        )
    return config


def _check_tied(model: nn.Module) -> None:
    """Un modèle de type GPT-2 a une tête liée ; LoRA la délie, s’il la corrige."""
    if (
        isinstance(model, Decoder)
        and model.embedding.positions is not None
        and isinstance(model.norm, nn.LayerNorm)
        and isinstance(model.head, nn.Linear)
        and model.head.weight is not model.embedding.tokens.weight
    ):
        raise ValueError(
            "La tête de ce modèle n’est pas liée aux embeddings, et celle d’un GPT-2 l’est. Si un "
            "adaptateur la corrige, retirez-le (detach_adapters) et visez d’autres couches que "
            "« head », ou gardez-le à part (save_adapter)."
        )


def _named_weights(model: Decoder) -> dict[str, Tensor]:
    """Nos poids en F32 ; des poids liés n’y figurent qu’une fois."""
    weights = {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().to("cpu", torch.float32)
        if not bool(weight.isfinite().all()):
            raise ValueError(
                f"« {name} » contient une valeur qui n’est pas un nombre fini : l’entraînement "
                "a-t-il divergé ?"
            )
        weights[name] = weight
    return weights


def _end_ids(
    tokenizer: Tokenizer | SharedTokenizer, eos_ids: Sequence[int] | None, config: Config
) -> tuple[int, ...]:
    if eos_ids is None:
        eos_ids = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    for token_id in eos_ids:
        if type(token_id) is not int or not 0 <= token_id < config.vocab_size:
            raise ValueError(
                f"eos_ids contient {token_id!r} : il faut des identifiants de 0 à "
                f"{config.vocab_size - 1}."
            )
    return tuple(eos_ids)


def _tokenizer_settings(
    tokenizer: Tokenizer | SharedTokenizer,
    config: Config,
    chat_template: ChatTemplate | str | None,
) -> dict[str, object]:
    settings: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": False,
    }
    for role in ROLES:
        token_id = getattr(tokenizer, f"{role}_id")
        if token_id is not None:
            settings[f"{role}_token"] = _token_named(tokenizer, token_id)
    if chat_template is not None:
        settings["chat_template"] = _template_source(chat_template)
    return settings


def _token_named(tokenizer: Tokenizer | SharedTokenizer, token_id: int) -> str:
    return next(token for token, i in tokenizer.token_to_id.items() if i == token_id)


def _template_source(template: ChatTemplate | str) -> str:
    return template if isinstance(template, str) else template.source


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def _check_free(folder: Path, overwrite: bool) -> None:
    """Refuse d’écraser ce qui n’est pas de nous."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"Le dossier « {folder.parent} » n’existe pas : créez-le d’abord.")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(
            f"« {folder} » existe et n’est pas un dossier : choisissez un autre nom."
        )
    if folder.is_dir() and not overwrite and not _is_ours(folder):
        raise FileExistsError(
            f"« {folder} » existe et contient autre chose qu’un modèle enregistré ici : choisissez "
            "un autre nom, ou overwrite=True pour le remplacer avec tout son contenu."
        )


def _is_ours(folder: Path) -> bool:
    """Un dossier vide, ou qui n’a que nos fichiers et notre marque."""
    names = {path.name for path in folder.iterdir()}
    if not names:
        return True
    if not names <= set(FILES):
        return False
    try:
        return json.loads((folder / "config.json").read_text("utf-8")).get(MARK) == AUTHOR
    except (OSError, ValueError, AttributeError):
        return False
