"""Lire et écrire le fichier JSON d'un tokeniseur, au format de la bibliothèque `tokenizers`."""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_json(path: str | Path, content: dict) -> None:
    """Écrit le JSON d'un seul coup : un fichier existant reste intact si l'écriture échoue."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Le dossier « {path.parent} » n'existe pas. "
            f"Créez-le avant d'enregistrer « {path.name} »."
        )
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp réserve le fichier à son propriétaire
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def read_json(path: str | Path) -> dict:
    """Lit le JSON d'un tokeniseur. FileNotFoundError ou ValueError avec la cause."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Le fichier « {path} » n'existe pas ou n'est pas un fichier.")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except ValueError as error:  # JSON mal formé ou octets qui ne sont pas de l'UTF-8
        raise ValueError(f"« {path} » n'est pas un fichier JSON en UTF-8 : {error}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(
            f"« {path} » n'est pas le fichier d'un tokeniseur : la clé « model » manque. "
            "Attendu : un fichier écrit par save() ou par la bibliothèque tokenizers."
        )
    return content


def layout(model: dict, pre_tokenizer: dict, decoder: dict | None, special: dict[str, int]) -> dict:
    """Assemble le contenu complet du fichier ; `special` associe chaque jeton spécial à son id."""
    added = [
        {
            "id": token_id,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token, token_id in special.items()
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def vocabulary(content: dict) -> tuple[dict[str, int], list[str]]:
    """Extrait d'un fichier son vocabulaire (jeton → id) et la liste de ses jetons spéciaux."""
    vocab = content["model"].get("vocab")
    if not isinstance(vocab, dict) or not all(type(value) is int for value in vocab.values()):
        raise ValueError(
            "Le vocabulaire (model.vocab) doit associer à chaque jeton un identifiant entier."
        )
    vocab, special = dict(vocab), []
    added_tokens = content.get("added_tokens") or []
    if not isinstance(added_tokens, list):
        raise ValueError("La clé « added_tokens » doit contenir une liste.")
    for added in added_tokens:
        if not isinstance(added, dict) or not {"id", "content"} <= added.keys():
            raise ValueError(
                f"Jeton ajouté mal formé : {added!r}. Il lui faut « id » et « content »."
            )
        if any(added.get(option) for option in ("single_word", "lstrip", "rstrip")):
            raise ValueError(
                f"Le jeton ajouté « {added['content']} » absorbe les espaces voisines "
                "(single_word, lstrip ou rstrip) : cette option n'est pas prise en charge."
            )
        token, token_id = added["content"], added["id"]
        if vocab.setdefault(token, token_id) != token_id:
            raise ValueError(
                f"Le jeton « {token} » a deux identifiants : {vocab[token]} et {token_id}."
            )
        special.append(token)
    if content.get("normalizer") is not None:
        raise ValueError(
            "Ce fichier normalise le texte avant de le découper : "
            "cette étape n'est pas prise en charge."
        )
    return vocab, special
