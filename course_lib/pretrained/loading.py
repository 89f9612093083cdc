"""Charger un modèle publié : un fichier GGUF ou un dossier Hugging Face, dans nos modèles.

Le modèle est d’abord bâti sur l’appareil « meta », sans un nombre ; les formes sont comparées à
celles du fichier, puis chaque tenseur est lu, converti en simple précision et mis à sa place
(`filling`). La mémoire n’en contient donc jamais deux copies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.disk import explained
from course_lib.pretrained.families import Config, read_config
from course_lib.pretrained.fields import read_settings
from course_lib.pretrained.filling import Source, build_empty, fill
from course_lib.pretrained.folders.locating import find_model
from course_lib.pretrained.folders.origin import Origin
from course_lib.pretrained.folders.reading import FolderWeights
from course_lib.pretrained.folders.sentence_settings import sentence_files
from course_lib.pretrained.folders.special_tokens import end_of_turn_ids, tokenizer_settings
from course_lib.pretrained.folders.tokenizers import (
    SharedTokenizer,
    tokenizer_from_folder,
    tokenizer_from_gguf,
)
from course_lib.pretrained.gguf.models import ROPE_FACTORS, config_from_gguf
from course_lib.pretrained.gguf.parts import GGUFParts
from course_lib.pretrained.places import gguf_place, published_place
from course_lib.tokenization import Tokenizer
from course_lib.transformer import BertConfig, Decoder, Encoder, LlamaConfig
from course_lib.transformer.llama import llama_positions

DEFAULT_CONTEXT = 8192
_GGUF_ENDS = ("eot", "eom", "eog")


@dataclass(frozen=True)
class Pretrained:
    """Un modèle chargé, prêt à servir. `eos_ids` : les jetons qui finissent une réponse.

    `family` : un nom de `FAMILIES`. `sentence_files` : ce que dit de lui-même un encodeur de
    phrases (`sentence_settings`).
    """

    model: Decoder | Encoder
    tokenizer: Tokenizer | SharedTokenizer
    config: Config
    family: str
    chat_template: ChatTemplate | None
    eos_ids: tuple[int, ...]
    sentence_files: Mapping[str, object] = field(default_factory=dict)


def load_pretrained(path: str | Path, context_length: int | None = None) -> Pretrained:
    """Charge un fichier GGUF ou un dossier Hugging Face, en simple précision, en mode évaluation.

    `context_length` : nombre de positions, celui du modèle au plus. Par défaut, celui du modèle ou
    8 192, le plus petit des deux : les tables de positions et la mémoire cache lui sont
    proportionnelles, et les modèles récents annoncent des contextes qu’aucun portable ne remplit.
    `model.origin` garde ce que l’on n’en charge pas, pour `save_folder` et `save_gguf`. « ~ » et
    la racine d’un cache de Hugging Face sont suivis ; rien n’est téléchargé. Dans un dossier qui a
    aussi un GGUF, ce sont les poids safetensors qui sont lus.
    FileNotFoundError si un fichier manque ; PermissionError s’il est interdit ; ValueError, qui
    nomme le champ ou le tenseur, si le modèle n’est pas pris en charge ou si un fichier est abîmé.
    """
    with explained(Path(str(path).replace("\0", "?"))):
        found = find_model(path)
        load = _load_folder if found.is_dir() else _load_gguf
        return load(found, context_length)


def _load_folder(folder: Path, context_length: int | None) -> Pretrained:
    settings = read_settings(folder / "config.json")
    generation = read_settings(folder / "generation_config.json")
    family, config = read_config(settings)
    ends = [*_eos_ids(generation), *_eos_ids(settings)]
    tokenizer = _matching(tokenizer_from_folder(folder), config)
    template = ChatTemplate.from_folder(folder)
    eos_ids = () if isinstance(config, BertConfig) else _all_ends(ends, tokenizer, template)
    with FolderWeights(folder) as weights:
        names = {family.canonical(name): name for name in weights.shapes}
        if len(names) < len(weights.shapes):
            raise ValueError(f"Deux tenseurs de « {folder} » ont le même nom, au préfixe près.")
        source = Source(
            {name: weights.shapes[full] for name, full in names.items()},
            lambda name: weights.tensor(names[name]),
            family.copies,
            family.is_useless,
        )
        model = build_empty(config, len(names))
        head = family.word_head
        if head is not None and not any(name.startswith(head) for name in names):
            model.head = nn.Identity()  # un encodeur de phrases : il rend ses vecteurs
        heads = (config.n_heads, getattr(config, "n_kv_heads", config.n_heads))
        places = {
            ours: published_place(family.name, ours, heads) for ours, _ in model.named_parameters()
        }
        places = {
            ours: replace(place, name=family.canonical(place.name))
            for ours, place in places.items()
        }
        fill(model, places, source)
    model.origin = Origin(
        *(family.name, config.context_length, tokenizer, eos_ids, template),
        *(settings, generation, tokenizer_settings(folder)),
    )
    model, config = _place(model, config, context_length)
    sentences = sentence_files(folder) if isinstance(config, BertConfig) else {}
    return Pretrained(model, tokenizer, config, family.name, template, eos_ids, sentences)


def _load_gguf(path: Path, context_length: int | None) -> Pretrained:
    with GGUFParts(path) as file:

        def read(name: str) -> Tensor:
            return torch.from_numpy(file.tensor(name))

        shapes = {name: info.shape for name, info in file.tensors.items()}
        factors = read(ROPE_FACTORS) if ROPE_FACTORS in shapes else None
        family, config = config_from_gguf(file.metadata, shapes, factors)
        tokenizer = _matching(tokenizer_from_gguf(file.metadata), config)
        template = ChatTemplate.from_gguf(file.metadata)
        model = build_empty(config, len(shapes))
        heads = (config.n_heads, config.n_kv_heads)
        places = {ours: gguf_place(ours, family, *heads) for ours, _ in model.named_parameters()}
        fill(model, places, Source(shapes, read, {}, lambda name: name == ROPE_FACTORS))
    named = (file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in _GGUF_ENDS)
    eos_ids = _all_ends([tokenizer.eos_id, *named], tokenizer, template)
    model.origin = Origin(family, config.context_length, tokenizer, eos_ids, template)
    model, config = _place(model, config, context_length)
    return Pretrained(model, tokenizer, config, family, template, eos_ids)


def _matching(
    tokenizer: Tokenizer | SharedTokenizer, config: Config
) -> Tokenizer | SharedTokenizer:
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"Le tokeniseur a {tokenizer.vocab_size} jetons et le modèle n’en connaît que "
            f"{config.vocab_size} : ces fichiers ne vont pas ensemble."
        )
    return tokenizer


def _eos_ids(settings: Mapping[str, object]) -> tuple[int, ...]:
    """Les jetons de fin : un entier, une liste, ou rien."""
    found = settings.get("eos_token_id")
    ids = [] if found is None else found if isinstance(found, list) else [found]
    if any(type(token_id) is not int for token_id in ids):
        raise ValueError(
            f"eos_token_id = {found!r} : il faut un identifiant de jeton, ou une liste."
        )
    return tuple(ids)


def _all_ends(
    ends: Iterable[object], tokenizer: Tokenizer | SharedTokenizer, template: ChatTemplate | None
) -> tuple[int, ...]:
    """Tout ce qui finit une réponse, sans choisir entre des fichiers qui se contredisent.

    S’arrêter trop tôt se voit ; ne pas s’arrêter fait écrire le tour de parole suivant.
    """
    turns = end_of_turn_ids(tokenizer, None if template is None else template.source)
    found = [*ends, tokenizer.eos_id, *turns]
    return tuple(dict.fromkeys(end for end in found if type(end) is int))


def _place(
    model: Decoder | Encoder, config: Config, context_length: int | None
) -> tuple[Decoder | Encoder, Config]:
    """Donne au modèle ses positions, au nombre voulu ; rend le modèle et sa configuration."""
    available = config.context_length
    if context_length is None:
        context_length = min(available, DEFAULT_CONTEXT)
    if type(context_length) is not int or not 1 <= context_length <= available:
        raise ValueError(
            f"context_length = {context_length!r} : ce modèle lit de 1 à {available} positions."
        )
    config = replace(config, context_length=context_length)
    model.embedding.context_length = context_length
    if isinstance(config, LlamaConfig):
        model.rope = llama_positions(config)
    else:
        positions = model.embedding.positions
        shorter = positions.table.weight.detach()[: positions.first + context_length].clone()
        positions.table = nn.Embedding.from_pretrained(shorter, freeze=False)
    return model.eval(), config
