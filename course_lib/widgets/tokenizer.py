"""L’explorateur de jetons : on tape un texte, chaque tokeniseur le découpe sous nos yeux."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import traitlets

from course_lib.tokenization import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer
from course_lib.tokenization.bytes_alphabet import BYTE_TO_CHAR
from course_lib.tokenization.patterns import (
    CHARACTER_PATTERN,
    GPT2_PATTERN,
    PUNCTUATION_PATTERN,
    SINGLE_DIGIT,
    WHITESPACE_PATTERN,
)
from course_lib.typography import format_number
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle
from course_lib.widgets.token_text import token_texts, visible

# Au-delà, la page pèserait trop : on réduit le vocabulaire de l’exemple, pas la page.
MAX_VOCAB_SIZE = 4096


class TokenizerExplorer(CourseWidget):
    """Découpe un texte en direct avec plusieurs tokeniseurs ; les ids sont ceux de Python.

    `tokenizers` : nom affiché → tokeniseur, par exemple
    `{"Mots": words, "Caractères": characters, "BPE": bpe}`. Le JavaScript applique les mêmes
    expressions et les mêmes fusions. ValueError si un vocabulaire dépasse 4 096 jetons.
    """

    module = "tokenizer_explorer.js"
    state_fields = ("tokenizers", "text")
    _esm = bundle(FOLDER / "tokenizer_explorer.js")
    tokenizers = traitlets.List().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        tokenizers: Mapping[str, Tokenizer],
        text: str = "L’animal n’a pas traversé la rue : il était trop fatigué. 🐾",
        *,
        title: str = "Explorateur de jetons",
        **kwargs: Any,
    ):
        if not tokenizers:
            raise ValueError("Il faut au moins un tokeniseur ; le dictionnaire est vide.")
        self._originals = dict(tokenizers)
        super().__init__(
            tokenizers=[_to_state(name, one) for name, one in tokenizers.items()],
            text=text,
            title=title,
            **kwargs,
        )

    def fallback_html(self) -> str:
        """Rend un tableau : le texte de départ, découpé par chaque tokeniseur."""
        rows = [self._fallback_row(name, one) for name, one in self._originals.items()]
        headers = ["Tokeniseur", "Jetons", "Nombre", "Caractères par jeton"]
        return html_table(headers, rows, f"« {self.text} » en jetons")

    def _fallback_row(self, name: str, tokenizer: Tokenizer) -> list[str]:
        ids, spans = tokenizer.encode_with_spans(self.text)
        if isinstance(tokenizer, BPETokenizer):
            pieces = token_texts([tokenizer.token_bytes[token_id] for token_id in ids])
        else:
            pieces = [self.text[start:end] for start, end in spans]
        shown = " | ".join(map(visible, pieces))
        ratio = format_number(len(self.text) / len(ids), 1) if ids else "–"
        return [name, shown, str(len(ids)), ratio]


def _to_state(name: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """Décrit un tokeniseur pour JavaScript : son découpage et son vocabulaire."""
    if tokenizer.vocab_size > MAX_VOCAB_SIZE:
        raise ValueError(
            f"« {name} » a {tokenizer.vocab_size} jetons ; l’explorateur en accepte "
            f"{MAX_VOCAB_SIZE} pour que la page reste légère. Apprenez un vocabulaire plus petit."
        )
    common = {
        "name": name,
        "size": tokenizer.vocab_size,
        "special": {token: tokenizer.token_to_id[token] for token in tokenizer.special_tokens},
    }
    if isinstance(tokenizer, BPETokenizer):
        return {**common, "kind": "bpe", **_bpe_state(tokenizer)}
    return {
        **common,
        "kind": "pieces",
        "pattern": javascript_pattern(_piece_pattern(name, tokenizer)),
        "tokens": tokenizer.tokens,
        "unknown": tokenizer.unk_id,
    }


def _piece_pattern(name: str, tokenizer: Tokenizer) -> str:
    if isinstance(tokenizer, CharTokenizer):
        return CHARACTER_PATTERN.pattern
    if isinstance(tokenizer, WordTokenizer):
        split = PUNCTUATION_PATTERN if tokenizer.split == "punctuation" else WHITESPACE_PATTERN
        return split.pattern
    raise TypeError(
        f"« {name} » est un {type(tokenizer).__name__} ; il faut un WordTokenizer, un "
        "CharTokenizer ou un BPETokenizer de course_lib.tokenization."
    )


def _bpe_state(tokenizer: BPETokenizer) -> dict[str, Any]:
    """Les fusions en paires d’ids ; l’id produit se déduit du premier quand ils se suivent."""
    ids = tokenizer.token_to_id
    results = [ids[left + right] for left, right in tokenizer.merges]
    consecutive = all(after == before + 1 for before, after in pairwise(results))
    return {
        "pattern": javascript_pattern(GPT2_PATTERN.pattern),
        "digit": javascript_pattern(SINGLE_DIGIT.pattern) if tokenizer.isolate_digits else None,
        "bytes": [ids.get(BYTE_TO_CHAR[byte]) for byte in range(256)],
        "merges": [ids[token] for pair in tokenizer.merges for token in pair],
        "results": results[:1] if consecutive else results,
    }


def javascript_pattern(pattern: str) -> str:
    """Traduit une expression du module `regex` (V1) pour le mode `v` de JavaScript.

    Le `\\s` de JavaScript compte U+FEFF parmi les espaces et oublie U+0085 : on nomme la propriété.
    """
    pattern = re.sub(r"\\U([0-9A-F]{8})", lambda match: f"\\u{{{int(match[1], 16):X}}}", pattern)
    return pattern.replace(r"\s", r"\p{White_Space}").replace(r"\S", r"\P{White_Space}")
