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

from course_lib.files import new_folder
from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.disk import explained
from course_lib.pretrained.families import Config, write_config
from course_lib.pretrained.folders.keeping import (
    as_dtype,
    kept_generation,
    kept_gguf_settings,
    kept_settings,
    kept_tokenizer_settings,
)
from course_lib.pretrained.folders.origin import Origin, origin_of
from course_lib.pretrained.folders.replacing import (
    AUTHOR,
    MARK,
    check_free,
    check_replaceable,
)
from course_lib.pretrained.folders.tokenizers import (
    ROLES,
    SharedTokenizer,
    gguf_tokenizer_metadata,
)
from course_lib.pretrained.gguf.blocks import BLOCKS
from course_lib.pretrained.gguf.models import ROPE_FACTORS, gguf_settings, rope_factors
from course_lib.pretrained.gguf.writer import write_gguf
from course_lib.pretrained.places import gguf_place, pack, published_place
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder, LlamaConfig
from course_lib.transformer.plain import plain_model
from course_lib.transformer.recognition import config_of

FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7}
UNUSED = 5  # type de jeton GGUF : une ligne de la matrice que le tokeniseur n’emploie pas


def save_folder(
    model: Decoder,
    tokenizer: Tokenizer | SharedTokenizer,
    folder: str | Path,
    *,
    chat_template: ChatTemplate | str | None = None,
    eos_ids: Sequence[int] | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
) -> None:
    """Écrit un dossier que lisent AutoModelForCausalLM et AutoTokenizer, hors ligne.

    Modèles de type Llama (« llama », ou « qwen2 » s’il a des biais) et GPT-2. `dtype` :
    « float32 », « float16 » ou « bfloat16 ». Un adaptateur LoRA qui sert est fondu dans les poids
    écrits ; le modèle, lui, ne change pas. `eos_ids` : les jetons où s’arrête une génération ;
    par défaut, comme `chat_template`, ceux du fichier dont vient le modèle s’il garde son
    tokeniseur, sinon le jeton de fin de celui-ci. D’un modèle chargé restent aussi le nombre de
    positions, la fenêtre de Mistral, les réglages de génération et ceux du tokeniseur ; une table
    de positions apprises, raccourcie au chargement, le reste.
    `overwrite` : remplace, avec tout son contenu, un dossier qui n’est pas de nous. ValueError si
    le modèle est d’un autre type, ou porte un goulot ou une amorce ; si le tokeniseur
    a plus de jetons que lui, si un poids n’est pas un nombre ou déborde de `dtype` ;
    FileExistsError si le dossier est pris ; FileNotFoundError si son parent manque ; OSError si le
    disque refuse : l’ancien dossier reste alors entier.
    """
    folder = Path(folder).expanduser()
    check_free(folder, overwrite)
    model = plain_model(model)
    config = _check_pair(model, tokenizer)
    origin = origin_of(model, tokenizer)
    content = kept_settings(write_config(config), origin_of(model))
    weights = as_dtype(_named_weights(model), dtype)
    places = {ours: published_place(content["model_type"], ours) for ours in weights}
    eos_ids = _end_ids(tokenizer, eos_ids, config, origin)
    chat_template = _template(chat_template, origin)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_id") for role in ("bos", "pad")}
    ids["eos_token_id"] = eos_ids[0] if len(eos_ids) == 1 else list(eos_ids) or None
    files = {
        "config.json": content | ids | {"dtype": dtype, MARK: AUTHOR},
        "generation_config.json": kept_generation(origin)
        | {name: value for name, value in ids.items() if value is not None},
        "tokenizer_config.json": kept_tokenizer_settings(origin)
        | _tokenizer_settings(tokenizer, config, chat_template),
    }
    with explained(folder), new_folder(folder) as temporary:
        for name, content in files.items():
            _write_json(temporary / name, content)
        tensors = pack(places, weights)
        save_file(tensors, temporary / "model.safetensors", {"format": "pt"})
        tokenizer.save(temporary / "tokenizer.json")


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
    lui, ne change pas. `name` : le nom du modèle, par défaut celui du fichier. D’un modèle
    chargé restent le nombre de positions, le gabarit et trois jetons de fin (eos, eot, eom) : un
    GGUF n’en dit pas plus, et l’on avertit de ceux qui manquent. Les réglages de génération n’y
    vont pas. ValueError si le modèle n’est pas de type Llama, ou porte un goulot ou une
    amorce ; si `kind` est inconnu, si le tokeniseur n’est pas un BPETokenizer ou a plus de jetons
    que le modèle, si un poids est indéfini ou trop grand ; FileExistsError si le chemin est pris
    par autre chose qu’un GGUF.
    """
    path = Path(path).expanduser()
    check_replaceable(path)
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
    metadata = _gguf_metadata(model, tokenizer, config, architecture, chat_template)
    metadata |= {"general.name": name or path.stem, "general.file_type": FILE_TYPES[kind]}
    weights = _named_weights(model)
    heads = (config.n_heads, config.n_kv_heads)
    places = {ours: gguf_place(ours, architecture, *heads) for ours in weights}
    arrays = {name: tensor.numpy() for name, tensor in pack(places, weights).items()}
    if config.rope_scaling is not None:
        factors = rope_factors(config.rope_scaling, config.head_dim, config.rope_theta)
        arrays[ROPE_FACTORS] = factors.numpy()
    tensors = [(name, array, _kind_of(array, kind)) for name, array in arrays.items()]
    with explained(path):
        write_gguf(path, metadata, tensors)


def _gguf_metadata(
    model: Decoder,
    tokenizer: Tokenizer,
    config: LlamaConfig,
    architecture: str,
    chat_template: ChatTemplate | str | None,
) -> dict[str, object]:
    """Les réglages du fichier, sans le nom du modèle ni le format des poids."""
    metadata = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.quantization_version": 2,
        **gguf_settings(config, architecture),
        **_padded(gguf_tokenizer_metadata(tokenizer), config.vocab_size),
    }
    origin = origin_of(model, tokenizer)
    metadata |= kept_gguf_settings(metadata, architecture, origin_of(model), origin)
    chat_template = _template(chat_template, origin)
    if chat_template is not None:
        metadata["tokenizer.chat_template"] = _template_source(chat_template)
    return metadata


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
    tokenizer: Tokenizer | SharedTokenizer,
    eos_ids: Sequence[int] | None,
    config: Config,
    origin: Origin | None,
) -> tuple[int, ...]:
    if eos_ids is None and origin is not None:
        # Un config.json en annonce parfois qui ne sont pas du vocabulaire : ils ne sortent jamais.
        eos_ids = [end for end in origin.eos_ids if 0 <= end < config.vocab_size] or None
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


def _template(template: ChatTemplate | str | None, origin: Origin | None) -> object:
    """Le gabarit donné, ou celui du fichier dont vient le modèle ; « "" » n’en met aucun."""
    if template is None and origin is not None:
        return origin.chat_template
    return template or None


def _template_source(template: ChatTemplate | str) -> str:
    return template if isinstance(template, str) else template.source


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
