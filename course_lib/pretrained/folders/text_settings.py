"""Les réglages de `tokenizer_config.json` qui préparent le texte, comparés à `tokenizer.json`.

Les deux fichiers d’un dossier disent parfois le contraire l’un de l’autre. transformers suit les
réglages pour les classes qui rebâtissent leur tokeniseur (BERT, GPT-2), `tokenizer.json` pour les
autres. Nous faisons comme lui dans le premier cas ; dans le second, nous refusons : l’un des deux
fichiers se trompe. Un réglage absent, ou null, ne contredit rien.
"""

import json
from pathlib import Path

from course_lib.extras import needed_by
from course_lib.pretrained.fields import read_settings

_BERT = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer")
_GPT2 = ("GPT2Tokenizer",)
# Réglage → la clé du normaliseur de BERT.
_BERT_KEYS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
_SPACES = ("▁", "Ġ", " ")


def obeying(content: dict, folder: str | Path) -> dict:
    """Le contenu de `tokenizer.json`, corrigé de ce que demandent les réglages du dossier.

    ValueError, qui nomme les deux fichiers et leurs valeurs, s’ils se contredisent.
    """
    settings = read_settings(Path(folder) / "tokenizer_config.json")
    asked = {key: settings[key] for key in (*_BERT_KEYS, "add_prefix_space") if key in settings}
    for key, value in asked.items():
        if value is not None and not isinstance(value, bool):
            raise ValueError(
                f"« tokenizer_config.json » : {key} = {value!r} ; il faut true, false ou null."
            )
    if settings.get("split_special_tokens"):
        raise ValueError(
            "« tokenizer_config.json » : split_special_tokens = true coupe les jetons spéciaux "
            "comme des mots ; « tokenizer.json » les reconnaît. Mettez-le à false."
        )
    name = str(settings.get("tokenizer_class")).removesuffix("Fast")
    if name in _BERT and _is(content.get("normalizer"), "BertNormalizer"):
        content = _like_bert(content, asked)
    if name in _GPT2 and _is(content.get("pre_tokenizer"), "ByteLevel"):
        content = _like_gpt2(content, asked)
    _check(content, asked)
    return content


def _is(step: object, kind: str) -> bool:
    return isinstance(step, dict) and step.get("type") == kind


def _like_bert(content: dict, asked: dict) -> dict:
    """Le normaliseur de BERT, réglé comme demandé ; strip_accents null : comme les majuscules."""
    changes = {
        _BERT_KEYS[key]: value
        for key, value in asked.items()
        if key in _BERT_KEYS and (value is not None or key == "strip_accents")
    }
    return {**content, "normalizer": content["normalizer"] | changes}


def _like_gpt2(content: dict, asked: dict) -> dict:
    spaced = asked.get("add_prefix_space")
    if spaced is None:
        return content
    step = content["pre_tokenizer"] | {"add_prefix_space": spaced}
    return {**content, "pre_tokenizer": step}


def _check(content: dict, asked: dict) -> None:
    """ValueError si la préparation du texte fait le contraire de ce qui est demandé."""
    for key, value in asked.items():
        found = None if value is None else _FOUND[key](*_prepared(content))
        if found is not None and found != value:
            raise ValueError(
                f"« tokenizer_config.json » dit {key} = {json.dumps(value)}, et « tokenizer.json » "
                f"fait comme si c’était {json.dumps(found)}. Gardez dans « tokenizer_config.json » "
                "la valeur avec laquelle le modèle a appris."
            )


def _prepared(content: dict) -> tuple[str | None, str | None]:
    """Ce que la bibliothèque `tokenizers` fait de « aÀ中b » : normalisé, et son premier mot."""
    with needed_by("pretrained"):
        from tokenizers import Tokenizer

    minimal = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    steps = {key: content.get(key) for key in ("normalizer", "pre_tokenizer")}
    try:
        backend = Tokenizer.from_str(json.dumps({"version": "1.0", "model": minimal, **steps}))
        normalized = backend.normalizer.normalize_str("aÀ中b") if backend.normalizer else "aÀ中b"
        words = [(normalized, None)]
        if backend.pre_tokenizer:
            words = backend.pre_tokenizer.pre_tokenize_str(normalized)
        return normalized, words[0][0]
    except Exception:  # ce fichier sera refusé, avec sa raison, quand on le lira
        return None, None


def _lowercases(normalized: str | None, word: str | None) -> bool | None:
    if normalized is None or "a" not in normalized:
        return None
    return not any(letter in normalized for letter in "ÀA")


def _strips(normalized: str | None, word: str | None) -> bool | None:
    """None si l’accent est écrit à part : la composition n’est pas une perte."""
    if normalized is None or "a" not in normalized:
        return None
    return not any(sign in normalized for sign in "Àà\u0300")


def _isolates(normalized: str | None, word: str | None) -> bool | None:
    return None if normalized is None else " 中 " in normalized


def _prefixes(normalized: str | None, word: str | None) -> bool | None:
    return None if not word else word.startswith(_SPACES)


_FOUND = {
    "do_lower_case": _lowercases,
    "strip_accents": _strips,
    "tokenize_chinese_chars": _isolates,
    "add_prefix_space": _prefixes,
}
