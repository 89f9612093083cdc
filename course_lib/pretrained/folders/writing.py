"""Le contenu d’un dossier Hugging Face : quatre fichiers de réglages et les poids."""

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.contents import (
    check_pair,
    chosen_template,
    named_weights,
    template_source,
)
from course_lib.pretrained.describing import write_config
from course_lib.pretrained.families import Config
from course_lib.pretrained.folders.keeping import (
    as_dtype,
    kept_generation,
    kept_settings,
    kept_tokenizer_settings,
)
from course_lib.pretrained.folders.origin import Origin, origin_of
from course_lib.pretrained.folders.replacing import AUTHOR, MARK
from course_lib.pretrained.folders.tokenizers import ROLES, SharedTokenizer
from course_lib.pretrained.places import pack, published_place
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder
from course_lib.transformer.plain import plain_model


def folder_tensors(model: Decoder, family: str, dtype: str) -> dict[str, Tensor]:
    """Les poids sous leurs noms publiés, à la précision `dtype`."""
    weights = as_dtype(named_weights(model), dtype)
    return pack({ours: published_place(family, ours) for ours in weights}, weights)


def folder_contents(
    model: Decoder,
    tokenizer: Tokenizer | SharedTokenizer,
    chat_template: ChatTemplate | str | None,
    eos_ids: Sequence[int] | None,
    dtype: str,
) -> tuple[dict[str, dict], dict[str, Tensor]]:
    """Les fichiers de réglages (nom → contenu) et les poids d’un modèle."""
    model = plain_model(model)
    config = check_pair(model, tokenizer)
    origin = origin_of(model, tokenizer)
    content = kept_settings(write_config(config), origin_of(model))
    tensors = folder_tensors(model, content["model_type"], dtype)
    eos_ids = _end_ids(tokenizer, eos_ids, config, origin)
    chat_template = chosen_template(chat_template, origin)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_id") for role in ("bos", "pad")}
    ids["eos_token_id"] = eos_ids[0] if len(eos_ids) == 1 else list(eos_ids) or None
    files = {
        "config.json": content | ids | {"torch_dtype": dtype, MARK: AUTHOR},
        "generation_config.json": kept_generation(origin)
        | {name: value for name, value in ids.items() if value is not None},
        "tokenizer_config.json": kept_tokenizer_settings(origin)
        | _tokenizer_settings(tokenizer, config, chat_template),
    }
    return files, tensors


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
        settings["chat_template"] = template_source(chat_template)
    return settings


def _token_named(tokenizer: Tokenizer | SharedTokenizer, token_id: int) -> str:
    return next(token for token, i in tokenizer.token_to_id.items() if i == token_id)


def write_settings(path: Path, content: dict) -> None:
    """Un fichier de réglages, comme les écrit transformers."""
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
