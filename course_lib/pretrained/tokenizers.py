"""Les tokeniseurs des modèles publiés : dans nos classes quand elles suffisent.

Nos classes savent lire le BPE sur les octets (GPT-2, SmolLM2) et le WordPiece de BERT. Les autres
(SentencePiece de Llama 2 ou de CroissantLLM, découpage de Qwen2 et de Llama 3…) sont confiés à la
bibliothèque `tokenizers`, derrière la même interface : `SharedTokenizer`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from course_lib.tokenization import BPETokenizer, Tokenizer, WordPieceTokenizer, load_tokenizer
from course_lib.tokenization.base import check_text

CONTROL, USER_DEFINED, NORMAL = 3, 4, 1  # types de jetons de GGUF
_SPLITS = {"gpt-2": False, "gpt2": False, "smollm": True}  # nom → chiffres isolés
ROLES = ("bos", "eos", "pad", "unk")


class SharedTokenizer:
    """Un tokeniseur de la bibliothèque `tokenizers`, à l’interface des nôtres.

    `encode` n’ajoute ni début ni fin, quoi qu’en dise le fichier.
    """

    def __init__(self, backend):
        self.backend = backend
        backend.no_truncation()
        backend.no_padding()
        self.token_to_id: dict[str, int] = backend.get_vocab()
        self.special_tokens = [
            token.content for token in backend.get_added_tokens_decoder().values() if token.special
        ]
        self.bos_id = self.eos_id = self.pad_id = self.unk_id = None

    assign_roles = Tokenizer.assign_roles

    @property
    def vocab_size(self) -> int:
        """Le plus grand identifiant, plus un."""
        return max(self.token_to_id.values()) + 1

    @property
    def tokens(self) -> list[str]:
        """La forme interne de chaque jeton, rangée par id."""
        return [self.backend.id_to_token(i) or "" for i in range(self.vocab_size)]

    def encode(self, text: str) -> list[int]:
        """Les ids du texte."""
        check_text(text)
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Les ids, et les caractères que chacun couvre."""
        check_text(text)
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Le texte des ids."""
        return self.backend.decode(list(map(int, ids)), skip_special_tokens)

    def save(self, path: str | Path) -> None:
        """Écrit le fichier de `tokenizers`, inchangé."""
        self.backend.save(str(path))


def tokenizer_from_folder(folder: str | Path) -> Tokenizer | SharedTokenizer:
    """Le tokeniseur d’un dossier Hugging Face : `tokenizer.json`, et les rôles de sa config.

    FileNotFoundError si le fichier manque, ValueError s’il est illisible.
    """
    folder = Path(folder)
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"« {folder.name} » n’a pas de « tokenizer.json ». Prenez la version du modèle qui en "
            "a un, ou enregistrez-le avec transformers (tokenizer.save_pretrained)."
        )
    try:
        tokenizer = load_tokenizer(path)
    except ValueError:
        tokenizer = _shared(path)
    _assign_roles_of(folder, tokenizer)
    return tokenizer


def _shared(path: Path) -> SharedTokenizer:
    from tokenizers import Tokenizer as Backend  # à la demande : nos classes suffisent souvent

    try:
        return SharedTokenizer(Backend.from_file(str(path)))
    except Exception as error:  # la bibliothèque n’en lève pas de plus précise
        raise ValueError(f"« {path} » n’est pas le fichier d’un tokeniseur : {error}.") from None


def read_settings(path: Path) -> dict:
    """Un fichier de réglages en JSON ; {} s’il manque, ValueError s’il est illisible."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"« {path.name} » n’est pas un JSON en UTF-8 : {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"« {path.name} » ne contient pas un objet JSON.")
    return content


def _assign_roles_of(folder: Path, tokenizer: Tokenizer | SharedTokenizer) -> None:
    """Les rôles que dit `tokenizer_config.json` ; le début n’en est un que s’il s’ajoute."""
    settings = read_settings(folder / "tokenizer_config.json")
    if isinstance(tokenizer, WordPieceTokenizer):
        return
    for role in ROLES:
        token = settings.get(f"{role}_token")
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str) and token in tokenizer.token_to_id:
            tokenizer.assign_roles(**{role: token})
    if settings.get("add_bos_token") is False:
        tokenizer.assign_roles(bos=None)


def tokenizer_from_gguf(metadata: dict[str, object]) -> BPETokenizer:
    """Le tokeniseur décrit par les réglages d’un GGUF.

    ValueError si sa sorte n’est pas prise en charge, avec le remède.
    """
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or split not in _SPLITS:
        raise ValueError(
            f"Le tokeniseur de ce GGUF ({kind!r}, découpage {split!r}) n’est pas pris en charge ; "
            f"on sait lire 'gpt2' avec {', '.join(_SPLITS)}. Chargez plutôt le dossier Hugging "
            "Face du modèle : load_pretrained(dossier) lit tous les tokenizer.json."
        )
    tokens = _list_of(metadata, "tokens", str)
    types = _list_of(metadata, "token_type", int)
    merges = [tuple(merge.split(" ")) for merge in _list_of(metadata, "merges", str)]
    if len(set(tokens)) < len(tokens) or len(types) != len(tokens):
        raise ValueError(
            f"Le GGUF a {len(tokens)} jetons, dont {len(set(tokens))} différents, et {len(types)} "
            "types de jetons : il en faut autant de chaque."
        )
    if any(len(pair) != 2 for pair in merges):
        raise ValueError("Une fusion du GGUF n’est pas faite de deux jetons.")
    special = [t for t, kind in zip(tokens, types, strict=True) if kind in (CONTROL, USER_DEFINED)]
    token_to_id = {token: i for i, token in enumerate(tokens)}
    tokenizer = BPETokenizer(token_to_id, merges, special, isolate_digits=_SPLITS[split])
    names = {"bos": "bos", "eos": "eos", "pad": "padding"}
    for role, name in names.items():
        token_id = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if type(token_id) is int and 0 <= token_id < len(tokens):
            tokenizer.assign_roles(**{role: tokens[token_id]})
    if metadata.get("tokenizer.ggml.add_bos_token") is False:
        tokenizer.assign_roles(bos=None)
    return tokenizer


def _list_of(metadata: dict[str, object], name: str, kind: type) -> list:
    values = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise ValueError(
            f"Il manque au GGUF la liste « tokenizer.ggml.{name} », ou elle est abîmée."
        )
    return values


def gguf_tokenizer_metadata(tokenizer: BPETokenizer) -> dict[str, object]:
    """Les réglages d’un GGUF qui décrivent un BPETokenizer, tels que llama.cpp les lit."""
    if not isinstance(tokenizer, BPETokenizer):
        raise ValueError(
            f"Un {type(tokenizer).__name__} ne s’écrit pas dans un GGUF : seul un BPETokenizer s’y "
            "décrit. Enregistrez plutôt un dossier (save_folder)."
        )
    special = set(tokenizer.special_tokens)
    tokens = sorted(tokenizer.token_to_id, key=tokenizer.token_to_id.__getitem__)
    metadata: dict[str, object] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm" if tokenizer.isolate_digits else "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if t in special else NORMAL for t in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        "tokenizer.ggml.add_bos_token": tokenizer.bos_id is not None,
    }
    for role, name in {"bos": "bos", "eos": "eos", "pad": "padding"}.items():
        token_id = getattr(tokenizer, f"{role}_id")
        if token_id is not None:
            metadata[f"tokenizer.ggml.{name}_token_id"] = token_id
    return metadata
