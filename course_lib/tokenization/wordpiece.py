"""Le découpage WordPiece, celui de BERT : le plus long morceau connu, puis le plus long suivant.

Le texte est d’abord appauvri (`BertPreparation`) et coupé aux espaces et à chaque signe de
ponctuation. Chaque mot est ensuite coupé en morceaux du vocabulaire ; ceux qui continuent un mot
commencent par « ## ». Un mot qu’on ne sait pas finir devient `[UNK]` en entier : à la différence
du BPE sur les octets, WordPiece perd de l’information.

Source : Devlin et al. 2018, arXiv:1810.04805 ; Wu et al. 2016, arXiv:1609.08144, §4.1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

from course_lib.tokenization.base import (
    Span,
    Tokenizer,
    check_special_tokens,
    check_vocab_size,
    iterate_texts,
)
from course_lib.tokenization.files import AddedToken, layout, vocabulary
from course_lib.tokenization.merges import learn_merges
from course_lib.tokenization.normalization import BertPreparation
from course_lib.tokenization.streaming import PieceStream

WORDPIECE_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"
MAX_WORD_LENGTH = 100  # au-delà, un « mot » est inconnu
_DECODER = {"type": "WordPiece", "prefix": PREFIX, "cleanup": True}
_MODEL = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": PREFIX,
    "max_input_chars_per_word": MAX_WORD_LENGTH,
}
_INNER = "\x00"  # marque, le temps de l’apprentissage, un caractère qui continue un mot
# Le décodeur de `tokenizers` recolle la ponctuation anglaise.
_CLEANUPS = (
    *((f" {sign}", sign) for sign in ".?!,"),
    (" ' ", "'"),
    *((f" {end}", end) for end in ("n't", "'m")),
    (" do not", " don't"),
    *((f" {end}", end) for end in ("'s", "'ve", "'re")),
)


class WordPieceTokenizer(Tokenizer):
    """Tokeniseur WordPiece de BERT.

    `uncased` (le plus courant) ignore majuscules et accents. `encode` n’ajoute rien ;
    `encode_sentence` et `encode_pair` mettent `[CLS]` et `[SEP]`.
    ValueError s’il manque au vocabulaire `[PAD]`, `[UNK]`, `[CLS]` ou `[SEP]`.
    """

    def __init__(
        self,
        token_to_id: Mapping[str, int],
        special_tokens: Iterable[str | AddedToken] = WORDPIECE_SPECIAL_TOKENS,
        uncased: bool = True,
    ):
        super().__init__(token_to_id, special_tokens)
        if "[UNK]" not in self.token_to_id:
            raise ValueError("Il manque le jeton « [UNK] », celui des mots inconnus : ajoutez-le.")
        self.assign_roles(bos="[CLS]", eos="[SEP]", pad="[PAD]", unk="[UNK]")
        self.uncased = uncased
        self._preparation = BertPreparation(uncased)
        self.set_frame([self.bos_id], [self.eos_id])

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        special_tokens: Iterable[str] = WORDPIECE_SPECIAL_TOKENS,
        min_frequency: int = 2,
        uncased: bool = True,
    ) -> Self:
        """Apprend le vocabulaire : les caractères, puis les fusions les plus fréquentes.

        Comme `tokenizers`, on fusionne la paire la plus fréquente ; l’article d’origine choisissait
        celle qui rend le texte le plus probable.
        """
        special = check_special_tokens(special_tokens)
        words = BertPreparation(uncased).words
        counts = Counter(word for text in iterate_texts(texts, special) for word in words(text))
        marked = [word[0] + "".join(_INNER + c for c in word[1:]) for word in counts]
        letters = sorted({letter for word in marked for letter in _letters(word)})
        symbols = special + letters
        check_vocab_size(vocab_size, len(symbols), "les jetons spéciaux et les caractères")
        ids = {symbol: i for i, symbol in enumerate(symbols)}
        pieces = [[ids[letter] for letter in _letters(word)] for word in marked]
        learn_merges(pieces, list(counts.values()), symbols, vocab_size, min_frequency)
        vocabulary = {_written(symbol): i for i, symbol in enumerate(symbols)}
        return cls(vocabulary, special, uncased)

    def encode(self, text: str) -> list[int]:
        """Renvoie les ids du texte, sans `[CLS]` ni `[SEP]`."""
        ids: list[int] = []
        cache = self._cache
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                continue
            for word in self._preparation.words(text[start:end]):
                ids.extend(cache.get(word) or self._encode_word(word))
        return ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Comme `encode`, avec les caractères du texte d’origine que couvre chaque jeton."""
        ids: list[int] = []
        spans: list[Span] = []
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                spans.append((start, end))
                continue
            for word, places in self._preparation.words_with_places(text[start:end]):
                for token_id, first, last in self._pieces(word):
                    ids.append(token_id)
                    covered = places[first : last + 1]
                    spans.append((start + min(covered), start + max(covered) + 1))
        return ids, spans

    def encode_pair(self, first: str, second: str) -> tuple[list[int], list[int]]:
        """`[CLS]` premier `[SEP]` second `[SEP]`, et le segment (0 ou 1) de chaque jeton."""
        start = self.encode_sentence(first)
        end = [*self.encode(second), self.eos_id]
        return start + end, [0] * len(start) + [1] * len(end)

    def _encode_word(self, word: str) -> list[int]:
        ids = [token_id for token_id, _, _ in self._pieces(word)]
        self._remember(word, ids)
        return ids

    def _pieces(self, word: str) -> list[tuple[int, int, int]]:
        """Les morceaux d’un mot : (id, premier et dernier caractère) ; `[UNK]` si l’un manque."""
        whole = [(self.unk_id, 0, len(word) - 1)]
        if len(word) > MAX_WORD_LENGTH:
            return whole
        pieces, start = [], 0
        while start < len(word):
            prefix = PREFIX if start else ""
            for end in range(len(word), start, -1):
                token_id = self.token_to_id.get(prefix + word[start:end])
                if token_id is not None:
                    break
            else:
                return whole
            pieces.append((token_id, start, end - 1))
            start = end
        return pieces

    def _stream(self) -> PieceStream:
        return PieceStream(self._piece)

    def _piece(self, before: str | None, token_id: int) -> str:
        """Le texte d’un morceau : collé au précédent s’il continue un mot."""
        piece = self._token_by_id[token_id]
        if before is not None:
            piece = piece[len(PREFIX) :] if piece.startswith(PREFIX) else " " + piece
        for spaced, tight in _CLEANUPS:
            piece = piece.replace(spaced, tight)
        return piece

    def to_json(self) -> dict:
        """Le contenu du fichier, au format de la bibliothèque `tokenizers`."""
        model = _MODEL | {"vocab": self.token_to_id}
        splitter = {"type": "BertPreTokenizer"}
        content = layout(model, splitter, _DECODER, self.added_ids, self.post_processor)
        return content | {"normalizer": _normalizer(self.uncased)}

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur ; lit aussi les fichiers publiés de BERT.

        ValueError, avec la raison, si le fichier demande ce que cette classe ne fait pas.
        """
        model, normalizer = content["model"], content.get("normalizer")
        found = {key: model.get(key) for key in _MODEL}
        if found != _MODEL:
            raise ValueError(f"Modèle non pris en charge : {found}. Attendu : {_MODEL}.")
        uncased = normalizer.get("lowercase") if isinstance(normalizer, dict) else None
        # strip_accents absent : les accents partent avec les majuscules.
        if uncased not in (True, False) or normalizer.get("strip_accents") not in (None, uncased):
            raise _unprepared(normalizer)
        if {**normalizer, "strip_accents": None} != _normalizer(uncased):
            raise _unprepared(normalizer)
        for key, expected in (
            ("pre_tokenizer", {"type": "BertPreTokenizer"}),
            ("decoder", _DECODER),
        ):
            if content.get(key) != expected:
                raise ValueError(
                    f"Découpage non pris en charge ({key}) : {content.get(key)}. Attendu : "
                    f"{expected}."
                )
        vocab, added = vocabulary(content, handled=("normalizer", "post_processor"))
        tokenizer = cls(vocab, added, uncased)
        if content.get("post_processor") is not None:
            tokenizer._set_post_processor(content["post_processor"])
        return tokenizer


def _normalizer(uncased: bool) -> dict:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": uncased,
    }


def _unprepared(normalizer: object) -> ValueError:
    return ValueError(
        f"Préparation du texte non prise en charge : {normalizer}. Attendu : celle de BERT "
        "« uncased » (minuscules, accents ôtés) ou « cased » (texte gardé)."
    )


def _letters(marked: str) -> list[str]:
    """Les caractères d’un mot marqué, chacun avec sa marque."""
    letters: list[str] = []
    for character in marked:
        if letters and letters[-1] == _INNER:
            letters[-1] += character
        else:
            letters.append(character)
    return letters


def _written(symbol: str) -> str:
    """Un symbole de l’apprentissage, écrit comme au vocabulaire."""
    return (PREFIX if symbol.startswith(_INNER) else "") + symbol.replace(_INNER, "")
