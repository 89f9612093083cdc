"""Les deux tokeniseurs les plus simples : un jeton par mot, ou un jeton par caractère."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

import regex

from course_lib.tokenization.base import (
    SPECIAL_TOKENS,
    Span,
    Tokenizer,
    check_special_tokens,
    check_vocab_size,
    iterate_texts,
)
from course_lib.tokenization.files import layout, vocabulary
from course_lib.tokenization.patterns import (
    CHARACTER_PATTERN,
    CHARACTER_PATTERN_SHARED,
    PUNCTUATION_PATTERN,
    PUNCTUATION_PATTERN_SHARED,
    WHITESPACE_PATTERN,
)
from course_lib.tokenization.streaming import PieceStream

# Une espace précède un mot sauf au début, après une ouvrante ou une élision, et avant ces signes.
_NO_SPACE_BEFORE = frozenset(".,)]}…%’'-–/")
_NO_SPACE_AFTER = frozenset("([{-–/")


class _PieceTokenizer(Tokenizer):
    """Un jeton par morceau trouvé par une expression régulière ; sinon le jeton inconnu."""

    _pattern: regex.Pattern

    def encode(self, text: str) -> list[int]:
        """Renvoie l’id de chaque morceau ; `unk_id` pour un morceau absent du vocabulaire.

        ValueError si un morceau est inconnu et que le vocabulaire n’a pas de jeton « <unk> ».
        """
        return self.encode_with_spans(text)[0]

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Comme `encode`, avec l’intervalle de caractères de chaque jeton."""
        ids, spans = [], []
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                spans.append((start, end))
                continue
            for match in self._pattern.finditer(text, start, end):
                ids.append(self._piece_id(match.group()))
                spans.append(match.span())
        return ids, spans

    def _piece_id(self, piece: str) -> int:
        token_id = self.token_to_id.get(piece, self.unk_id)
        if token_id is None:
            raise ValueError(
                f"« {piece} » n’est pas au vocabulaire, qui n’a pas de jeton « <unk> ». "
                "Apprenez-le sur ce texte ou ajoutez « <unk> » aux jetons spéciaux."
            )
        return token_id

    @classmethod
    def _learn(
        cls,
        texts: Iterable[str],
        pattern: regex.Pattern,
        vocab_size: int | None,
        special_tokens: Iterable[str],
    ) -> tuple[dict[str, int], list[str]]:
        """Vocabulaire : les jetons spéciaux, puis les morceaux du plus fréquent au plus rare."""
        special = check_special_tokens(special_tokens)
        check_vocab_size(vocab_size, len(special) + 1, "les jetons spéciaux et au moins un autre")
        counts: Counter[str] = Counter()
        for text in iterate_texts(texts, special):
            counts.update(pattern.findall(text))
        # À fréquence égale, l’ordre des caractères décide : le résultat ne dépend que des textes.
        ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
        room = None if vocab_size is None else vocab_size - len(special)
        return {token: i for i, token in enumerate(special + ranked[:room])}, special

    @classmethod
    def _read(cls, content: dict, *options: str) -> Self:
        tokenizer = cls(*vocabulary(content, handled=("post_processor",)), *options)
        tokenizer._set_post_processor(content.get("post_processor"))
        return tokenizer

    def _layout(self, pre_tokenizer: dict, decoder: dict | None) -> dict:
        model = {"type": "WordLevel", "vocab": self.token_to_id, "unk_token": "<unk>"}
        return layout(model, pre_tokenizer, decoder, self.added_ids, self.post_processor)


class WordTokenizer(_PieceTokenizer):
    """Un jeton par mot.

    `split="punctuation"` sépare les mots des signes ; l’élision reste avec son article :
    « L’animal dort. » donne « L’ », « animal », « dort », « . ».
    `split="whitespace"` ne coupe qu’aux espaces : pour un texte où tout est déjà séparé.

    Les espaces du texte ne sont pas gardées. `decode` remet une espace entre les mots ; avec
    "punctuation", il suit l’usage français : pas d’espace avant « . » ni après « l’ ».
    """

    def __init__(
        self,
        token_to_id: Mapping[str, int],
        special_tokens: Iterable[str] = (),
        split: Literal["punctuation", "whitespace"] = "punctuation",
    ):
        super().__init__(token_to_id, special_tokens)
        self.split = split
        self._pattern = _word_pattern(split)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        special_tokens: Iterable[str] = SPECIAL_TOKENS,
        split: Literal["punctuation", "whitespace"] = "punctuation",
    ) -> Self:
        """Garde les `vocab_size` jetons les plus fréquents (tous si None)."""
        pattern = _word_pattern(split)
        return cls(*cls._learn(texts, pattern, vocab_size, special_tokens), split)

    def _stream(self) -> PieceStream:
        return PieceStream(self._piece)

    def _piece(self, before: str | None, token_id: int) -> str:
        """Le texte d’un mot, précédé d’une espace s’il en faut une."""
        word = self._token_by_id[token_id]
        if self.split == "whitespace":
            return word if before is None else " " + word
        glued = not before or word in _NO_SPACE_BEFORE or before[-1] in _NO_SPACE_AFTER
        elided = not glued and len(before) > 1 and before[-1] in "'’" and before[-2].isalpha()
        return word if glued or elided else " " + word

    def to_json(self) -> dict:
        """Le contenu du fichier, au format de la bibliothèque `tokenizers`."""
        if self.split == "whitespace":
            return self._layout({"type": "WhitespaceSplit"}, None)
        return self._layout(_split_on(PUNCTUATION_PATTERN_SHARED), None)

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur depuis le contenu de son fichier."""
        for split, expected in (
            ("whitespace", {"type": "WhitespaceSplit"}),
            ("punctuation", _split_on(PUNCTUATION_PATTERN_SHARED)),
        ):
            if content["model"].get("type") == "WordLevel" and (
                content.get("pre_tokenizer") == expected
            ):
                _check_options(content, None)
                return cls._read(content, split)
        raise ValueError(
            "Ce fichier n’est pas celui d’un WordTokenizer. Essayez load_tokenizer(path)."
        )


class CharTokenizer(_PieceTokenizer):
    """Un jeton par caractère Unicode : rien n’est perdu si chaque caractère est connu."""

    _pattern: ClassVar = CHARACTER_PATTERN

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        special_tokens: Iterable[str] = SPECIAL_TOKENS,
    ) -> Self:
        """Garde les `vocab_size` jetons les plus fréquents (tous si None)."""
        return cls(*cls._learn(texts, CHARACTER_PATTERN, vocab_size, special_tokens))

    def encode(self, text: str) -> list[int]:
        """Renvoie l’id de chaque caractère ; `unk_id` s’il est absent du vocabulaire."""
        ids: list[int] = []
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                continue
            try:
                ids.extend(map(self.token_to_id.__getitem__, text[start:end]))
            except KeyError:  # chemin lent, seulement s’il y a un caractère inconnu
                return self.encode_with_spans(text)[0]
        return ids

    def _stream(self) -> PieceStream:
        return PieceStream(lambda before, token_id: self._token_by_id[token_id])

    def to_json(self) -> dict:
        """Le contenu du fichier, au format de la bibliothèque `tokenizers`."""
        return self._layout(_split_on(CHARACTER_PATTERN_SHARED), {"type": "Fuse"})

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur depuis le contenu de son fichier."""
        if content["model"].get("type") != "WordLevel" or (
            content.get("pre_tokenizer") != _split_on(CHARACTER_PATTERN_SHARED)
        ):
            raise ValueError(
                "Ce fichier n’est pas celui d’un CharTokenizer. Essayez load_tokenizer(path)."
            )
        _check_options(content, {"type": "Fuse"})
        return cls._read(content)


def _check_options(content: dict, expected: dict | None) -> None:
    """ValueError si le fichier décode autrement, ou nomme autrement le jeton inconnu."""
    unknown = content["model"].get("unk_token")
    if unknown != "<unk>":
        raise ValueError(f"Jeton inconnu non pris en charge : {unknown!r}. Attendu : « <unk> ».")
    if content.get("decoder") != expected:
        raise ValueError(
            f"Décodage non pris en charge : {content.get('decoder')}. Attendu : {expected}."
        )


def _split_on(pattern: str) -> dict:
    """La description d’un découpage qui ne garde que ce que reconnaît l’expression."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Removed",
        "invert": True,
    }


def _word_pattern(split: str) -> regex.Pattern:
    patterns = {"punctuation": PUNCTUATION_PATTERN, "whitespace": WHITESPACE_PATTERN}
    if split not in patterns:
        raise ValueError(f"split={split!r} est inconnu : choisissez parmi {sorted(patterns)}.")
    return patterns[split]
