"""Enregistrer un de nos modèles pour les outils des autres : transformers, llama.cpp.

    save_folder   un dossier Hugging Face : config.json, model.safetensors, tokenizer.json…
    save_gguf     un fichier GGUF, en F32, F16 ou Q8_0, ou aux poids déjà arrondis

Le dossier ou le fichier n’apparaît qu’une fois complet, sous un nom qui n’a jamais été provisoire.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from course_lib.files import atomic, new_folder
from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.contents import (
    check_pair,
    chosen_template,
    named_weights,
    template_source,
)
from course_lib.pretrained.describing import written_family
from course_lib.pretrained.disk import explained
from course_lib.pretrained.folders.keeping import kept_gguf_settings
from course_lib.pretrained.folders.origin import origin_of
from course_lib.pretrained.folders.replacing import check_free, check_replaceable
from course_lib.pretrained.folders.tokenizers import SharedTokenizer, gguf_tokenizer_metadata
from course_lib.pretrained.folders.writing import folder_contents, folder_tensors, write_settings
from course_lib.pretrained.gguf.blocks import BLOCKS
from course_lib.pretrained.gguf.models import ROPE_FACTORS, gguf_settings, rope_factors
from course_lib.pretrained.gguf.packing import Packed
from course_lib.pretrained.gguf.writer import write_gguf
from course_lib.pretrained.places import gguf_place, pack
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder, LlamaConfig
from course_lib.transformer.plain import plain_model

FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "Q3_K": 11, "Q4_K": 14, "IQ4_XS": 30}
KINDS = ("F32", "F16", "Q8_0")
_METADATA = {"format": "pt"}  # sans quoi transformers refuse le fichier
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

    Modèles de type Llama (« llama », « qwen2 » s’il a des biais, « qwen3 » s’il a des normes de
    tête) et GPT-2. `dtype` : « float32 », « float16 » ou « bfloat16 ». Un adaptateur LoRA qui sert
    est fondu dans les poids écrits ; le modèle, lui, ne change pas. `eos_ids` : les jetons où
    s’arrête une génération ; par défaut, comme `chat_template`, ceux du fichier dont vient le
    modèle s’il garde son tokeniseur, sinon le jeton de fin de celui-ci. D’un modèle chargé restent
    aussi le nombre de positions, la fenêtre de Mistral, les réglages de génération et ceux du
    tokeniseur ; une table de positions apprises, raccourcie au chargement, le reste.
    `overwrite` : remplace, avec tout son contenu, un dossier qui n’est pas de nous. ValueError si
    le modèle est d’un autre type, ou porte un goulot ou une amorce ; si le tokeniseur
    a plus de jetons que lui, si un poids n’est pas un nombre ou déborde de `dtype` ;
    FileExistsError si le dossier est pris ; FileNotFoundError si son parent manque ; OSError si le
    disque refuse : l’ancien dossier reste alors entier.
    """
    folder = Path(folder).expanduser()
    check_free(folder, overwrite)
    files, tensors = folder_contents(model, tokenizer, chat_template, eos_ids, dtype)
    with explained(folder), new_folder(folder) as temporary:
        for name, content in files.items():
            write_settings(temporary / name, content)
        tokenizer.save(temporary / "tokenizer.json")
        _save_tensors(tensors, temporary / "model.safetensors", temporary / "tokenizer.json")


def save_beside(
    model: Decoder,
    tokenizer: Tokenizer | SharedTokenizer,
    folder: str | Path,
    *,
    dtype: str = "float32",
) -> None:
    """Écrit les fichiers de `save_folder` dans un dossier qui existe, sans toucher aux autres.

    Pour un dossier d’entraînement, qui garde aussi son journal et ses points de reprise. Chaque
    fichier est remplacé d’un geste ; `config.json`, écrit en dernier, dit que tout y est. Erreurs
    de `save_folder`, sauf FileExistsError.
    """
    folder = Path(folder).expanduser()
    files, tensors = folder_contents(model, tokenizer, None, None, dtype)
    with explained(folder):
        tokenizer.save(folder / "tokenizer.json")
        with atomic(folder / "model.safetensors") as temporary:
            _save_tensors(tensors, temporary, folder / "tokenizer.json")
        for name in sorted(files, reverse=True):
            with atomic(folder / name) as temporary:
                write_settings(temporary, files[name])


def llama_weights(model: Decoder, dtype: str = "float16") -> bytes:
    """Le `model.safetensors` que `save_folder` écrirait de ce modèle de type Llama.

    ValueError si un poids n’est pas un nombre, ou déborde de `dtype`.
    """
    return save(folder_tensors(model, "llama", dtype), _METADATA)


def save_gguf(
    model: Decoder,
    tokenizer: Tokenizer,
    path: str | Path,
    kind: str = "F16",
    *,
    name: str | None = None,
    chat_template: ChatTemplate | str | None = None,
    rounded: Mapping[str, Packed] | None = None,
) -> None:
    """Écrit un GGUF que lisent llama.cpp et transformers ; remplace le fichier s’il existe.

    `kind` : « F32 », « F16 » ou « Q8_0 ». Comme le fait llama.cpp, les normes et les biais restent
    en F32, et une matrice dont la largeur n’est pas un multiple de 32, que Q8_0 ne sait pas
    découper, passe en F16. `rounded` : {nom du poids: matrice rangée}, ce que rend `round_model` ;
    ces matrices-là sont écrites telles quelles, `kind` vaut pour les autres.
    Un adaptateur LoRA qui sert est fondu dans les poids écrits ; le modèle,
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
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r} : choisissez parmi {', '.join(KINDS)}.")
    model = plain_model(model)
    config = check_pair(model, tokenizer)
    if not isinstance(config, LlamaConfig):
        raise ValueError(
            "Seuls les modèles de type Llama s’écrivent ici en GGUF : enregistrez celui-ci avec "
            "save_folder."
        )
    architecture = written_family(config)
    if config.rope_scaling is not None and architecture != "llama":
        raise ValueError(
            f"rope_scaling = {config.rope_scaling} : llama.cpp n’étire les positions que de "
            f"l’architecture llama, et ce modèle s’écrit en {architecture}. Enregistrez plutôt un "
            "dossier (save_folder)."
        )
    metadata = _gguf_metadata(model, tokenizer, config, architecture, chat_template)
    weights, rounded = named_weights(model), rounded or {}
    _check_rounded(weights, rounded)
    metadata |= {
        "general.name": name or path.stem,
        "general.file_type": FILE_TYPES[_most_common_kind(kind, rounded)],
    }
    heads = (config.n_heads, config.n_kv_heads)
    places = {ours: gguf_place(ours, architecture, *heads) for ours in weights}
    raws = {ours: torch.from_numpy(packed.raw) for ours, packed in rounded.items()}
    contents = pack(places, weights | raws)  # les lignes d’une matrice rangée se déplacent aussi
    arrays = {name: tensor.numpy() for name, tensor in contents.items()}
    for ours, packed in rounded.items():
        place = places[ours].name
        arrays[place] = Packed(packed.kind, arrays[place])
    if config.rope_scaling is not None:
        factors = rope_factors(config.rope_scaling, config.head_dim, config.rope_theta)
        arrays[ROPE_FACTORS] = factors.numpy()
    tensors = [(name, array, _kind_of(array, kind)) for name, array in arrays.items()]
    with explained(path):
        write_gguf(path, metadata, tensors)


def _save_tensors(tensors: Mapping[str, Tensor], path: Path, like: Path) -> None:
    """Écrit les poids, avec les droits du fichier `like` : safetensors les réserve à l’auteur."""
    save_file(tensors, path, _METADATA)
    shutil.copymode(like, path)


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
    chat_template = chosen_template(chat_template, origin)
    if chat_template is not None:
        metadata["tokenizer.chat_template"] = template_source(chat_template)
    return metadata


def _check_rounded(weights: Mapping[str, Tensor], rounded: Mapping[str, Packed]) -> None:
    """ValueError si une matrice rangée n’est pas, au bit près, celle du modèle."""
    for name, packed in rounded.items():
        if name not in weights:
            raise ValueError(f"Le modèle n’a pas de poids « {name} » : rounded n’est pas de lui.")
        if not np.array_equal(packed.values(), weights[name].numpy()):
            raise ValueError(
                f"« {name} » n’est plus la matrice arrondie : le modèle a changé depuis. "
                "Arrondissez-le à nouveau (round_model)."
            )


def _most_common_kind(kind: str, rounded: Mapping[str, Packed]) -> str:
    """Le format de la plupart des poids : celui que le fichier annonce."""
    sizes = Counter()
    for packed in rounded.values():
        sizes[packed.kind] += packed.size
    return sizes.most_common(1)[0][0] if sizes else kind


def _kind_of(array: np.ndarray | Packed, kind: str) -> str:
    """Le format d’un tenseur : F32 pour un vecteur, F16 si ses lignes ne font pas des blocs."""
    if isinstance(array, Packed):
        return array.kind
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
