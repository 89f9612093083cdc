"""Lire et écrire le fichier JSON d’un tokeniseur, au format de la bibliothèque `tokenizers`."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AddedToken:
    """Un jeton reconnu tel quel dans un texte, avant tout découpage.

    `special` : `decode(skip_special_tokens=True)` le tait. `normalized` : il n’est cherché
    qu’après les autres, dans ce qu’ils laissent.
    """

    content: str
    special: bool = True
    normalized: bool = False


def read_json(path: str | Path) -> dict:
    """Lit le JSON d’un tokeniseur. FileNotFoundError ou ValueError avec la cause."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Le fichier « {path} » n’existe pas ou n’est pas un fichier.")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"« {path} » n’est pas un fichier JSON en UTF-8 : {text_fault(error)}."
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(
            f"« {path} » n’est pas le fichier d’un tokeniseur : la clé « model » manque. "
            "Attendu : un fichier écrit par save() ou par la bibliothèque tokenizers."
        )
    if "type" not in content["model"]:  # un fichier ancien : gpt2, bert-base-uncased
        content["model"] = {"type": _model_type(content["model"]), **content["model"]}
    return content


def text_fault(error: Exception) -> str:
    """Ce qui arrête la lecture d’un JSON ou d’un texte en UTF-8, en français, avec la place."""
    if isinstance(error, json.JSONDecodeError):
        return f"erreur à la ligne {error.lineno}, colonne {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"octet 0x{error.object[error.start]:02X} illisible à la position {error.start}"
    if isinstance(error, RecursionError):
        return "trop de listes les unes dans les autres"
    return "un nombre trop long" if "integer string conversion" in str(error) else str(error)


def _model_type(model: dict) -> str | None:
    """La sorte d’un modèle qui ne la dit pas, devinée comme le fait `tokenizers`."""
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    if {"continuing_subword_prefix", "max_input_chars_per_word", "unk_token"} <= model.keys():
        return "WordPiece"
    return "WordLevel" if "unk_token" in model else None


def layout(
    model: dict,
    pre_tokenizer: dict,
    decoder: dict | None,
    added_tokens: Mapping[AddedToken, int],
    post_processor: dict | None = None,
) -> dict:
    """Assemble le contenu complet du fichier ; `added_tokens` : chaque jeton ajouté et son id."""
    added = [
        {
            "id": token_id,
            "content": token.content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": token.normalized,
            "special": token.special,
        }
        for token, token_id in added_tokens.items()
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


_STEPS = {
    "normalizer": "normalise le texte avant de le découper",
    "post_processor": "encadre le texte de jetons",
}


def vocabulary(
    content: dict, handled: Collection[str] = ()
) -> tuple[dict[str, int], list[AddedToken]]:
    """Extrait d’un fichier son vocabulaire (jeton → id) et ses jetons ajoutés.

    ValueError s’il a une étape (« normalizer », « post_processor ») absente de `handled`.
    """
    for key, what in _STEPS.items():
        if content.get(key) is not None and key not in handled:
            raise ValueError(f"Ce fichier {what} : cette étape n’est pas prise en charge.")
    vocab = content["model"].get("vocab")
    if not isinstance(vocab, dict) or not all(type(value) is int for value in vocab.values()):
        raise ValueError(
            "Le vocabulaire (model.vocab) doit associer à chaque jeton un identifiant entier."
        )
    vocab, tokens, added_ids, n_learned = dict(vocab), [], [], len(vocab)
    added_tokens = content.get("added_tokens") or []
    if not isinstance(added_tokens, list):
        raise ValueError("La clé « added_tokens » doit contenir une liste.")
    for added in added_tokens:
        if not isinstance(added, dict) or (
            type(added.get("id")) is not int or not isinstance(added.get("content"), str)
        ):
            raise ValueError(
                f"Jeton ajouté mal formé : {added!r}. Il lui faut « id » et « content »."
            )
        if any(added.get(option) for option in ("single_word", "lstrip", "rstrip")):
            raise ValueError(
                f"Le jeton ajouté « {added['content']} » absorbe les espaces voisines "
                "(single_word, lstrip ou rstrip) : cette option n’est pas prise en charge."
            )
        token, token_id = added["content"], added["id"]
        following = max([n_learned - 1, *added_ids]) + 1
        added_ids.append(token_id)
        if vocab.setdefault(token, following) != token_id:
            raise ValueError(
                f"Le jeton « {token} » a deux identifiants : {vocab[token]} et {token_id}. Le "
                "premier est du vocabulaire, ou la place suivante ; le second, d’« added_tokens ». "
                "Téléchargez le fichier à nouveau."
            )
        special, normalized = added.get("special", True), added.get("normalized", False)
        tokens.append(AddedToken(token, bool(special), bool(normalized)))
    return vocab, tokens


Frame = tuple[list[int], list[int]]


def read_frame(post_processor: dict | None) -> Frame:
    """Les ids qu’un fichier ajoute avant et après un texte, d’après sa clé `post_processor`.

    ValueError si elle décrit autre chose qu’un encadrement.
    """
    before, after = [], []
    for step in _post_processing_steps(post_processor):
        kind = step.get("type") if isinstance(step, dict) else None
        try:
            start, end = _FRAME_READERS[kind](step)
        except (KeyError, TypeError, ValueError, IndexError):
            raise ValueError(
                f"Encadrement non pris en charge (post_processor) : {step}. Attendu : "
                f"{', '.join(_FRAME_READERS)}."
            ) from None
        before, after = start + before, after + end
    return before, after


def frame_template(
    before: Sequence[int], after: Sequence[int], names: Mapping[int, str]
) -> dict | None:
    """L’inverse de `read_frame` : ce qu’en dit un fichier, pour un texte ou une paire de textes.

    Le second texte de la paire, et ce qui le suit, sont du segment 1.
    """
    if not before and not after:
        return None

    def special(side: Sequence[int], segment: int) -> list[dict]:
        return [{"SpecialToken": {"id": names[i], "type_id": segment}} for i in side]

    first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    single = [*special(before, 0), first, *special(after, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, second, *special(after, 1)],
        "special_tokens": {
            names[i]: {"id": names[i], "ids": [i], "tokens": [names[i]]} for i in (*before, *after)
        },
    }


def no_frame() -> dict:
    """Ce qu’écrit un fichier pour dire qu’un texte ne prend ni début ni fin : « $A », et rien."""
    first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [first],
        "pair": [first, second],
        "special_tokens": {},
    }


def starts_bare(post_processor: dict | None) -> bool:
    """Vrai si un gabarit dit qu’un texte commence sans jeton de début ; faux s’il n’en dit rien."""
    steps = _post_processing_steps(post_processor)
    is_template = any(step.get("type") == "TemplateProcessing" for step in steps)
    return is_template and not read_frame(post_processor)[0]


def _post_processing_steps(post_processor: dict | None) -> list:
    if post_processor is None:
        return []
    if isinstance(post_processor, dict) and post_processor.get("type") == "Sequence":
        steps = post_processor.get("processors")
        return steps if isinstance(steps, list) else [steps]
    return [post_processor]


def _template_frame(step: dict) -> Frame:
    """Un gabarit : « [CLS] $A [SEP] »."""
    frame, side = ([], []), 0
    for piece in step["single"]:
        if "Sequence" in piece:
            side += 1
        else:
            frame[side].extend(map(int, step["special_tokens"][piece["SpecialToken"]["id"]]["ids"]))
    if side != 1:
        raise ValueError
    return frame


def _pair_frame(step: dict) -> Frame:
    """La forme propre à BERT et à RoBERTa : un jeton de début, un de fin."""
    return [int(step["cls"][1])], [int(step["sep"][1])]


_FRAME_READERS = {
    "ByteLevel": lambda step: ([], []),  # il ne règle que les intervalles
    "TemplateProcessing": _template_frame,
    "BertProcessing": _pair_frame,
    "RobertaProcessing": _pair_frame,
}
