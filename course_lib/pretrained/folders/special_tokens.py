"""Les jetons spéciaux d’un dossier Hugging Face, dits par quatre fichiers qui se répètent.

    tokenizer.json            added_tokens : ceux que le découpage connaît
    tokenizer_config.json     bos_token, eos_token… et added_tokens_decoder (id → jeton)
    special_tokens_map.json   bos_token, eos_token… (fichier ancien)
    added_tokens.json         jeton → id (fichier ancien)

On les réunit dans l’ordre de transformers : si `added_tokens_decoder` est là, les deux fichiers
anciens ne comptent pas ; sinon, `special_tokens_map.json` l’emporte sur `tokenizer_config.json`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from course_lib.pretrained.fields import read_settings

STANDARD = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# Ce qui, dans le vocabulaire d’un modèle de conversation, finit un tour de parole.
TURN_ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|end_of_turn|>"),
    *("<|endoftext|>", "<|end_of_text|>", "<end_of_utterance>", "<EOT>", "<|return|>", "<|call|>"),
    *("</s>", "<eos>", "<turn|>"),
)
_LISTS = ("extra_special_tokens", "additional_special_tokens")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def tokenizer_settings(folder: str | Path) -> dict:
    """`tokenizer_config.json`, complété comme transformers par `special_tokens_map.json`."""
    settings = read_settings(Path(folder) / "tokenizer_config.json")
    older = read_settings(Path(folder) / "special_tokens_map.json")
    return settings if "added_tokens_decoder" in settings else settings | older


def named_tokens(settings: Mapping[str, object]) -> dict[str, str]:
    """Nom → texte : « bos_token »… et les noms propres au modèle (« image_token »).

    ValueError si l’un d’eux n’est ni un texte, ni un objet qui a un « content ».
    """
    found: dict[str, str] = {}
    standard = [f"{role}_token" for role in STANDARD]
    others = [key for key in settings if key.endswith("_token") and key not in standard]
    named = settings.get("extra_special_tokens")
    if isinstance(named, dict):
        settings = {**settings, **named}
        others += list(named)
    for key in [*standard, *others]:
        value = settings.get(key)
        if value is None or (key in others and not isinstance(value, str | dict)):
            continue  # « add_bos_token » n’est pas un jeton
        found[key] = _text(key, value)
    return found


def completed(content: dict, folder: str | Path) -> dict:
    """Le contenu de `tokenizer.json`, où sont ajoutés les jetons que disent les autres fichiers.

    Un jeton nommé (« bos_token »…) absent du vocabulaire est laissé de côté : le modèle ne le
    connaît pas. ValueError si un fichier ajoute un jeton à une autre place que la suivante.
    """
    settings = tokenizer_settings(folder)
    before = content.get("added_tokens") or []
    tokens = _by_text(before)
    if tokens is None:
        return content  # mal formé : sera refusé à sa lecture
    vocabulary = _vocabulary(content)
    size = len(vocabulary)
    for place, token in _declared(settings, folder, tokens):
        text = token["content"]
        already = tokens.get(text, {})
        known = already.get("id", vocabulary.get(text))
        if known is None:
            known = max([size - 1, *(one["id"] for one in tokens.values())]) + 1
            if place is None:
                continue
            if place != known:
                raise ValueError(
                    f"Le jeton ajouté « {text} » a l’identifiant {place} dans les réglages du "
                    f"dossier ; dans « tokenizer.json », où il n’est pas, la place suivante est "
                    f"{known}. Ces fichiers ne vont pas ensemble : téléchargez-les à nouveau."
                )
        special = token["special"] or already.get("special") is True  # spécial un jour…
        tokens[text] = token | {"id": known, "special": special}
    added = sorted(tokens.values(), key=lambda one: one["id"])
    return content if added == before else {**content, "added_tokens": added}


def end_of_turn_ids(tokenizer, template: str | None) -> list[int]:
    """Les jetons spéciaux qui finissent un tour de parole, et dont le gabarit se sert."""
    if template is None:
        return []
    special = set(tokenizer.special_tokens)
    return [tokenizer.token_to_id[t] for t in TURN_ENDS if t in special and t in template]


def _text(key: str, value: object) -> str:
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ValueError(
            f"{key} = {value!r} dans les réglages du tokeniseur : il faut un texte, ou un objet "
            "qui a un « content »."
        )
    return text


def _by_text(added: object) -> dict[str, dict] | None:
    """Texte → jeton ajouté de `tokenizer.json` ; None s’il y en a un mal formé, ou deux fois."""
    if not isinstance(added, list) or any(
        not isinstance(one, dict)
        or not isinstance(one.get("content"), str)
        or type(one.get("id")) is not int
        for one in added
    ):
        return None
    tokens = {one["content"]: dict(one) for one in added}
    return tokens if len(tokens) == len(added) else None


def _vocabulary(content: dict) -> Mapping[str, int]:
    vocab = content["model"].get("vocab")
    if isinstance(vocab, list):  # Unigram : des paires (jeton, score)
        return {
            one[0]: i
            for i, one in enumerate(vocab)
            if isinstance(one, list) and one and isinstance(one[0], str)
        }
    return vocab if isinstance(vocab, dict) else {}


def _declared(
    settings: Mapping[str, object], folder: str | Path, tokens: Mapping[str, dict]
) -> Iterator[tuple[int | None, dict]]:
    """Les jetons que déclarent les réglages : (id annoncé, description)."""
    named = list(dict.fromkeys(named_tokens(settings).values()))
    extra = [_text("extra_special_tokens", one) for one in _extra(settings)]
    seen = set(tokens)
    if "added_tokens_decoder" in settings:
        for place, token in _decoder(settings["added_tokens_decoder"]):
            seen.add(token["content"])
            yield place, token | {"special": token["special"] or token["content"] in named}
    else:
        for text, place in _older_added(folder):
            if text not in seen:
                seen.add(text)
                special = text in named or text in extra
                yield place, _token(text, special=special, normalized=not special)
    for text in [*named, *extra]:
        if text and text not in seen:
            seen.add(text)
            yield None, _token(text, special=True, normalized=False)


def _extra(settings: Mapping[str, object]) -> list:
    found = next((settings[key] for key in _LISTS if settings.get(key)), [])
    if not isinstance(found, list | dict):
        raise ValueError(
            f"extra_special_tokens = {found!r} dans les réglages du tokeniseur : il faut une liste."
        )
    return [] if isinstance(found, dict) else found


def _decoder(found: object) -> list[tuple[int, dict]]:
    """`added_tokens_decoder`, rangé par id."""
    try:
        pairs = sorted((int(place), token) for place, token in found.items())
        return [(place, _described(token)) for place, token in pairs]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            "« tokenizer_config.json » : « added_tokens_decoder » doit associer à chaque "
            f'identifiant un jeton ({{"content": …}}) ; reçu {str(found)[:80]}.'
        ) from None


def _described(token: Mapping) -> dict:
    if not isinstance(token["content"], str) or any(
        not isinstance(token.get(flag, False), bool) for flag in _FLAGS
    ):
        raise ValueError
    special = token.get("special", False)
    flags = {flag: token.get(flag, False) for flag in _FLAGS}
    return {
        "content": token["content"],
        **flags,
        "normalized": token.get("normalized", not special),
    }


def _older_added(folder: str | Path) -> list[tuple[str, int]]:
    found = read_settings(Path(folder) / "added_tokens.json")
    if any(type(place) is not int for place in found.values()):
        raise ValueError(
            "« added_tokens.json » doit associer à chaque jeton un identifiant entier."
        )
    return sorted(found.items(), key=lambda pair: pair[1])


def _token(text: str, *, special: bool, normalized: bool) -> dict:
    flags = dict.fromkeys(_FLAGS, False)
    return {"content": text, **flags, "normalized": normalized, "special": special}
