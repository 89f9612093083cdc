"""Le découpage WordPiece, celui de BERT : le plus long morceau connu, puis le plus long suivant.

Le texte est d’abord appauvri : minuscules, accents ôtés, caractères de contrôle retirés. On coupe
aux espaces et à chaque signe de ponctuation, puis chaque mot en morceaux du vocabulaire ; ceux qui
continuent un mot commencent par « ## ». Un mot qu’on ne sait pas finir devient `[UNK]` en entier :
à la différence du BPE sur les octets, WordPiece perd de l’information.

Les ids sont ceux de la bibliothèque `tokenizers`, aux caractères près qu’Unicode a ajoutés depuis
sa version 8 dans des écritures rares. Source : Devlin et al. 2018 ; Wu et al. 2016, §4.1.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

import regex

from course_lib.tokenization.base import (
    Span,
    Tokenizer,
    check_special_tokens,
    check_vocab_size,
    iterate_texts,
)
from course_lib.tokenization.files import layout, vocabulary
from course_lib.tokenization.merges import learn_merges

WORDPIECE_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"
MAX_WORD_LENGTH = 100  # au-delà, un « mot » est inconnu
_NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
_DECODER = {"type": "WordPiece", "prefix": PREFIX, "cleanup": True}
_WHITE_SPACE = regex.compile(r"\p{White_Space}")
_IDEOGRAMS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
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
    """Tokeniseur WordPiece « uncased ». `encode` n’ajoute rien ; `encode_sentence` encadre."""

    def __init__(
        self,
        token_to_id: Mapping[str, int],
        special_tokens: Iterable[str] = WORDPIECE_SPECIAL_TOKENS,
    ):
        super().__init__(token_to_id, special_tokens)
        if "[UNK]" not in self.token_to_id:
            raise ValueError("Il manque le jeton « [UNK] », celui des mots inconnus : ajoutez-le.")
        self.assign_roles(bos="[CLS]", eos="[SEP]", pad="[PAD]", unk="[UNK]")

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        special_tokens: Iterable[str] = WORDPIECE_SPECIAL_TOKENS,
        min_frequency: int = 2,
    ) -> Self:
        """Apprend le vocabulaire : les caractères, puis les fusions les plus fréquentes.

        Comme `tokenizers`, on fusionne la paire la plus fréquente ; l’article d’origine choisissait
        celle qui rend le texte le plus probable.
        """
        special = check_special_tokens(special_tokens)
        counts = Counter(
            word
            for text in iterate_texts(texts, special)
            for word in (word for word, _ in split_words(text))
        )
        marked = [word[0] + "".join(_INNER + c for c in word[1:]) for word in counts]
        letters = sorted({letter for word in marked for letter in _letters(word)})
        symbols = special + letters
        check_vocab_size(vocab_size, len(symbols), "les jetons spéciaux et les caractères")
        ids = {symbol: i for i, symbol in enumerate(symbols)}
        words = [[ids[letter] for letter in _letters(word)] for word in marked]
        learn_merges(words, list(counts.values()), symbols, vocab_size, min_frequency)
        return cls({_written(symbol): i for i, symbol in enumerate(symbols)}, special)

    @property
    def tokens(self) -> list[str]:
        """Les jetons, rangés par id, « ## » compris."""
        return list(self._token_by_id)

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids, sans `[CLS]` ni `[SEP]`, et caractères du texte d’origine que chacun couvre."""
        ids: list[int] = []
        spans: list[Span] = []
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                spans.append((start, end))
                continue
            for word, places in split_words(text[start:end]):
                for token_id, first, last in self._pieces(word):
                    ids.append(token_id)
                    spans.append((start + places[first], start + places[last] + 1))
        return ids, spans

    def encode_sentence(self, text: str, max_length: int | None = None) -> list[int]:
        """`[CLS]` + ids + `[SEP]` ; coupé à `max_length` jetons, encadrement compris."""
        if max_length is not None and max_length < 2:
            raise ValueError(
                f"max_length = {max_length} : il faut au moins 2 places, pour [CLS] et [SEP]."
            )
        ids = self.encode(text)
        if max_length is not None:
            ids = ids[: max_length - 2]
        return [self.bos_id, *ids, self.eos_id]

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

    def _decode_ids(self, ids: list[int]) -> str:
        pieces = [self._token_by_id[token_id] for token_id in ids]
        text = []
        for rank, piece in enumerate(pieces):
            if rank and piece.startswith(PREFIX):
                piece = piece[len(PREFIX) :]
            elif rank:
                piece = " " + piece
            for spaced, tight in _CLEANUPS:
                piece = piece.replace(spaced, tight)
            text.append(piece)
        return "".join(text)

    def to_json(self) -> dict:
        """Le contenu du fichier, au format de la bibliothèque `tokenizers`."""
        model = {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": PREFIX,
            "max_input_chars_per_word": MAX_WORD_LENGTH,
            "vocab": self.token_to_id,
        }
        special = {token: self.token_to_id[token] for token in self.special_tokens}
        content = layout(model, {"type": "BertPreTokenizer"}, _DECODER, special)
        return content | {"normalizer": _NORMALIZER}

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur ; lit aussi les fichiers publiés de BERT « uncased »."""
        model, normalizer = content["model"], content.get("normalizer")
        expected = {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": PREFIX,
            "max_input_chars_per_word": MAX_WORD_LENGTH,
        }
        found = {key: model.get(key) for key in expected}
        if found != expected:
            raise ValueError(f"Modèle non pris en charge : {found}. Attendu : {expected}.")
        accents = isinstance(normalizer, dict) and normalizer.get("strip_accents") in (None, True)
        if not accents or {**normalizer, "strip_accents": None} != _NORMALIZER:
            raise ValueError(
                f"Préparation du texte non prise en charge : {normalizer}. Attendu : celle de BERT "
                "« uncased » (minuscules, accents ôtés)."
            )
        if (content.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer":
            raise ValueError(
                f"Découpage non pris en charge : {content.get('pre_tokenizer')}. Attendu : "
                "« BertPreTokenizer »."
            )
        return cls(*vocabulary(content | {"normalizer": None}))


def split_words(text: str) -> list[tuple[str, list[int]]]:
    """Les mots du texte appauvri et, pour chaque caractère, sa place dans le texte d’origine."""
    words: list[tuple[str, list[int]]] = []
    letters, places = [], []

    def finish() -> None:
        if letters:
            words.append(("".join(letters), places.copy()))
            letters.clear()
            places.clear()

    for place, character in enumerate(text):
        for letter in _normalize(character):
            if letter == " " or _WHITE_SPACE.match(letter):
                finish()
            elif _is_punctuation(letter):
                finish()
                words.append((letter, [place]))
            else:
                letters.append(letter)
                places.append(place)
    finish()
    return words


def _normalize(character: str) -> str:
    """Ce qui reste d’un caractère : décomposé, sans accent, en minuscule ; parfois rien."""
    if character in "\t\n\r":
        return " "
    category = unicodedata.category(character)
    if character in "\0\ufffd" or category in ("Cc", "Cf", "Co"):
        return ""
    if _WHITE_SPACE.match(character):
        return " "
    if any(first <= ord(character) <= last for first, last in _IDEOGRAMS):
        return f" {unicodedata.normalize('NFD', character)} "
    decomposed = unicodedata.normalize("NFD", character)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn").lower()


def _is_punctuation(character: str) -> bool:
    """Ponctuation d’Unicode, et tous les signes de l’ASCII, « $ » ou « + » compris."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


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
