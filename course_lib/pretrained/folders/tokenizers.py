"""Les tokeniseurs des modèles publiés : dans nos classes quand elles suffisent.

Nos classes savent lire le BPE sur les octets (GPT-2, SmolLM2, Qwen2, Llama 3) et le WordPiece de
BERT, et le BPE de SentencePiece d’un GGUF (Llama 2). Les autres (`tokenizer.json` de Llama 2 ou de
CroissantLLM, Unigram…) sont confiés à la bibliothèque `tokenizers`, derrière la même interface :
`SharedTokenizer`.

`encode` n’ajoute jamais de jeton de début ni de fin. `bos_id` n’est donné que si le modèle attend
un début devant tout texte ; `encode_sentence` encadre comme le fichier le demande.
"""

from collections.abc import Mapping
from pathlib import Path

from course_lib.pretrained.fields import read_settings
from course_lib.pretrained.folders.special_tokens import (
    completed,
    named_tokens,
    tokenizer_settings,
)
from course_lib.pretrained.folders.text_settings import obeying
from course_lib.tokenization import (
    BPETokenizer,
    Tokenizer,
    WordPieceTokenizer,
    tokenizer_from_content,
)
from course_lib.tokenization.files import AddedToken, read_json
from course_lib.tokenization.sentencepiece import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    SentencePieceTokenizer,
)
from course_lib.tokenization.shared import SharedTokenizer
from course_lib.tokenization.splits import GPT2, LLAMA3, LLAMA_CPP_DEFAULT, QWEN2, SMOLLM, Split

ROLES = ("bos", "eos", "pad", "unk")
_GGUF_ROLES = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
# Noms que llama.cpp donne aux découpages ; le premier de chaque sorte est celui qu’on écrit.
_SPLITS: dict[str, Split] = {
    "gpt-2": GPT2,
    "smollm": SMOLLM,
    "qwen2": QWEN2,
    "llama-bpe": LLAMA3,
    "smaug-bpe": LLAMA3,
    "default": LLAMA_CPP_DEFAULT,
    **dict.fromkeys(("phi-2", "mpt", "olmo", "jais", "roberta-bpe"), GPT2),
    **dict.fromkeys(("starcoder", "refact", "command-r", "codeshell"), SMOLLM),
    **dict.fromkeys(("deepseek-r1-qwen", "megrez"), QWEN2),
    **dict.fromkeys(("llama3", "llama-v3", "falcon3", "dbrx"), LLAMA3),
}
_WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3", "falcon3")  # ignore_merges, et un début


def tokenizer_from_folder(folder: str | Path) -> Tokenizer | SharedTokenizer:
    """Le tokeniseur d’un dossier Hugging Face : `tokenizer.json`, et les rôles de ses réglages.

    FileNotFoundError si le fichier manque, ValueError s’il est illisible.
    """
    folder = Path(folder)
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"« {folder.name} » n’a pas de « tokenizer.json ». Prenez la version du modèle qui en "
            "a un, ou enregistrez-le avec transformers (tokenizer.save_pretrained)."
        )
    content = obeying(completed(read_json(path), folder), folder)
    try:
        tokenizer = tokenizer_from_content(content)
    except ValueError:
        tokenizer = SharedTokenizer.from_json(content)
    if not isinstance(tokenizer, WordPieceTokenizer):  # les rôles de BERT sont fixes
        _assign_roles_of(folder, tokenizer)
    return tokenizer


def _assign_roles_of(folder: Path, tokenizer: Tokenizer | SharedTokenizer) -> None:
    """Les rôles que disent les réglages du dossier.

    Comme dans transformers, l’encadrement de `tokenizer.json` l’emporte sur `add_bos_token`. Un
    jeton absent du vocabulaire ne compte pas : l’autre fichier, s’il en donne un, a la parole.
    """
    newer = tokenizer_settings(folder)
    known = tokenizer.token_to_id.get
    ids: dict[str, int | None] = dict.fromkeys(ROLES)
    for settings in (read_settings(folder / "tokenizer_config.json"), newer):
        names = named_tokens(settings)
        for role in ROLES:
            ids[role] = known(names.get(f"{role}_token"), ids[role])
    if newer.get("add_bos_token") is False:
        tokenizer.bos_id = None
    _give_roles(tokenizer, ids)


def _give_roles(tokenizer: Tokenizer | SharedTokenizer, ids: Mapping[str, int | None]) -> None:
    """Donne les rôles ; le début est le jeton que l’encadrement met devant un texte."""
    if len(tokenizer.frame[0]) == 1:
        (tokenizer.bos_id,) = tokenizer.frame[0]
    for role in ("eos", "pad", "unk"):
        if ids[role] is not None:
            setattr(tokenizer, f"{role}_id", ids[role])


def tokenizer_from_gguf(metadata: Mapping[str, object]) -> BPETokenizer | SentencePieceTokenizer:
    """Le tokeniseur décrit par les réglages d’un GGUF.

    « gpt2 » (BPE sur les octets) donne un BPETokenizer ; « llama », un SentencePieceTokenizer. Sans
    découpage écrit (`tokenizer.ggml.pre`), c’est celui que llama.cpp prend par défaut. ValueError,
    avec le remède, si sa sorte n’est pas prise en charge ou s’il est abîmé.
    """
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    split = "default" if split is None else split
    known = isinstance(split, str) and split in _SPLITS
    if kind != "llama" and not (kind == "gpt2" and known):
        raise ValueError(
            f"Le tokeniseur de ce GGUF ({kind!r}, découpage {split!r}) n’est pas pris en charge ; "
            f"on sait lire 'llama', et 'gpt2' avec {', '.join(_SPLITS)}. Chargez plutôt le dossier "
            "Hugging Face du modèle : load_pretrained(dossier) lit tous les tokenizer.json."
        )
    tokens = _list_of(metadata, "tokens", str)
    types = _list_of(metadata, "token_type", int)
    if not tokens or len(set(tokens)) < len(tokens) or len(types) != len(tokens):
        raise ValueError(
            f"Le GGUF a {len(tokens)} jetons, dont {len(set(tokens))} différents, et {len(types)} "
            "types de jetons : il en faut autant de chaque."
        )
    added = [
        AddedToken(token, special=kind != USER_DEFINED)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    ids = {role: _role_id(metadata, name, len(tokens)) for role, name in _GGUF_ROLES.items()}
    whole = kind == "gpt2" and split in _WHOLE_WORDS
    if kind == "llama":
        tokenizer = _sentencepiece(metadata, tokens, types, ids["unk"])
    else:
        token_to_id, merges = {token: i for i, token in enumerate(tokens)}, _merges(metadata)
        tokenizer = BPETokenizer(token_to_id, merges, added, _SPLITS[split], whole)
    # Quand le fichier ne dit rien du début, llama.cpp en ajoute un à ces deux sortes.
    starts = metadata.get("tokenizer.ggml.add_bos_token", kind == "llama" or whole)
    ends = metadata.get("tokenizer.ggml.add_eos_token", False)
    sides = ((starts, ids["bos"]), (ends, ids["eos"]))
    tokenizer.set_frame(*([one] if added and one is not None else [] for added, one in sides))
    tokenizer.bos_id = None
    _give_roles(tokenizer, ids)
    return tokenizer


def _sentencepiece(
    metadata: Mapping[str, object], tokens: list[str], types: list[int], unknown: int | None
) -> SentencePieceTokenizer:
    for name in ("precompiled_charsmap", "remove_extra_whitespaces"):
        if metadata.get(f"tokenizer.ggml.{name}"):
            raise ValueError(
                f"Ce GGUF récrit le texte avant de le découper (tokenizer.ggml.{name}) : on ne "
                "sait pas le refaire. Chargez plutôt le dossier Hugging Face du modèle."
            )
    if unknown is None and UNKNOWN in types:
        unknown = types.index(UNKNOWN)
    scores = _list_of(metadata, "scores", float)
    spaced = metadata.get("tokenizer.ggml.add_space_prefix", True)
    return SentencePieceTokenizer(tokens, scores, types, unknown, spaced is not False)


def _role_id(metadata: Mapping[str, object], name: str, n_tokens: int) -> int | None:
    token_id = metadata.get(f"tokenizer.ggml.{name}_token_id")
    return token_id if type(token_id) is int and 0 <= token_id < n_tokens else None


def _list_of(metadata: Mapping[str, object], name: str, kind: type) -> list:
    values = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise ValueError(
            f"Il manque au GGUF la liste « tokenizer.ggml.{name} », ou elle est abîmée."
        )
    return values


def _merges(metadata: Mapping[str, object]) -> list[tuple[str, str]]:
    merges = [tuple(merge.split(" ")) for merge in _list_of(metadata, "merges", str)]
    if any(len(pair) != 2 for pair in merges):
        raise ValueError("Une fusion du GGUF n’est pas faite de deux jetons.")
    return merges


def gguf_tokenizer_metadata(tokenizer: BPETokenizer) -> dict[str, object]:
    """Les réglages d’un GGUF qui décrivent un BPETokenizer, tels que llama.cpp les lit.

    ValueError si ce n’en est pas un, ou si llama.cpp n’a pas de nom pour son découpage.
    """
    if not isinstance(tokenizer, BPETokenizer):
        raise ValueError(
            f"Un {type(tokenizer).__name__} ne s’écrit pas dans un GGUF : seul un BPETokenizer s’y "
            "décrit. Enregistrez plutôt un dossier (save_folder)."
        )
    name = next(
        (
            name
            for name, split in _SPLITS.items()
            if split == tokenizer.split and (name in _WHOLE_WORDS) == tokenizer.ignore_merges
        ),
        None,
    )
    if name is None:
        raise ValueError(
            f"llama.cpp n’a pas de nom pour ce découpage ({tokenizer.split}, ignore_merges = "
            f"{tokenizer.ignore_merges}). Enregistrez plutôt un dossier (save_folder)."
        )
    special = {token.content: token.special for token in tokenizer.added_tokens}
    kinds = {None: NORMAL, True: CONTROL, False: USER_DEFINED}
    tokens = sorted(tokenizer.token_to_id, key=tokenizer.token_to_id.__getitem__)
    metadata: dict[str, object] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [kinds[special.get(token)] for token in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        "tokenizer.ggml.add_bos_token": tokenizer.bos_id is not None,
        "tokenizer.ggml.add_eos_token": tokenizer.eos_id in tokenizer.frame[1],
    }
    for role, name in _GGUF_ROLES.items():
        token_id = getattr(tokenizer, f"{role}_id")
        if token_id is not None:
            metadata[f"tokenizer.ggml.{name}_token_id"] = token_id
    return metadata
