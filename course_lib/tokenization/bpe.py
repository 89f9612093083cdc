"""Le tokeniseur par paires d'octets (BPE), celui de GPT-2 et de ses descendants.

Le texte est d'abord coupé en mots (l'espace reste collée au mot qui la suit), chaque mot est
écrit en octets UTF-8, puis les octets sont fusionnés en jetons. Quand les 256 octets sont au
vocabulaire, et `train` les y met, aucun texte n'est inconnu : `decode(encode(texte)) == texte`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

from course_lib.tokenization.base import (
    Span,
    Tokenizer,
    check_special_tokens,
    check_vocab_size,
    iterate_texts,
)
from course_lib.tokenization.bytes_alphabet import BYTE_TO_CHAR, CHAR_TO_BYTE
from course_lib.tokenization.files import layout, vocabulary
from course_lib.tokenization.merges import apply_merges, learn_merges
from course_lib.tokenization.patterns import GPT2_PATTERN, SINGLE_DIGIT

BPE_SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>")
_CACHE_LIMIT = 1 << 16
_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_DIGITS = {"type": "Digits", "individual_digits": True}


class BPETokenizer(Tokenizer):
    """Tokeniseur BPE sur les octets.

    `merges` est la liste ordonnée des fusions, en paires de textes de l'alphabet d'octets de
    GPT-2 (« Ġ » y représente l'espace) ; `token_to_id` emploie le même alphabet, et `tokens`
    la forme lisible. `isolate_digits` coupe chaque chiffre à part, comme SmolLM2.
    """

    def __init__(
        self,
        token_to_id: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        special_tokens: Iterable[str] = (),
        isolate_digits: bool = False,
    ):
        super().__init__(token_to_id, special_tokens)
        self.merges = [tuple(pair) for pair in merges]
        self.isolate_digits = isolate_digits
        self._ranks = _rank_merges(self.merges, self.token_to_id)
        self._byte_ids = [self.token_to_id.get(BYTE_TO_CHAR[byte]) for byte in range(256)]
        special = set(self.special_tokens)
        self._token_bytes = [
            token.encode() if token in special else _to_bytes(token) for token in self._token_by_id
        ]
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        special_tokens: Iterable[str] = BPE_SPECIAL_TOKENS,
        progress: bool = False,
        isolate_digits: bool = False,
        min_frequency: int = 2,
    ) -> Self:
        """Apprend les fusions jusqu'à `vocab_size` jetons : spéciaux, 256 octets, fusions.

        Avec None, fusionne tant qu'une paire revient `min_frequency` fois ; un petit corpus
        peut aussi s'épuiser avant `vocab_size`. Le résultat ne dépend que des textes.
        """
        special = check_special_tokens(special_tokens)
        check_vocab_size(vocab_size, len(special) + 256, "les jetons spéciaux et les 256 octets")
        counts: Counter[str] = Counter()
        for text in iterate_texts(texts, special):
            counts.update(_words(text, isolate_digits))
        symbols = special + sorted(CHAR_TO_BYTE)
        byte_ids = [symbols.index(BYTE_TO_CHAR[byte], len(special)) for byte in range(256)]
        words = [[byte_ids[byte] for byte in word.encode()] for word in counts]
        pairs = learn_merges(
            words, list(counts.values()), symbols, vocab_size, min_frequency, progress
        )
        token_to_id = {token: i for i, token in enumerate(symbols)}
        merges = [(symbols[left], symbols[right]) for left, right in pairs]
        return cls(token_to_id, merges, special, isolate_digits)

    @property
    def tokens(self) -> list[str]:
        """La forme lisible de chaque jeton, rangée par id ; « \\xc3 » pour un octet isolé."""
        return [content.decode("utf-8", "backslashreplace") for content in self._token_bytes]

    def encode(self, text: str) -> list[int]:
        """Renvoie les ids du texte, sans ajouter de jeton de début ni de fin."""
        ids: list[int] = []
        cache = self._cache
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                continue
            for word in _words(text[start:end], self.isolate_digits):
                ids.extend(cache.get(word) or self._encode_word(word))
        return ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Comme `encode`, avec l'intervalle de caractères de chaque jeton.

        Quand un caractère est réparti sur plusieurs jetons, chacun reçoit tout le caractère.
        """
        ids: list[int] = []
        spans: list[Span] = []
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                spans.append((start, end))
                continue
            for word in _words(text[start:end], self.isolate_digits):
                word_ids = self._encode_word(word)
                ids.extend(word_ids)
                spans.extend(self._word_spans(word, word_ids, start))
                start += len(word)
        return ids, spans

    def _encode_word(self, word: str) -> list[int]:
        known = self._cache.get(word)
        if known is not None:
            return known
        # Un vocabulaire publié peut ignorer quelques octets : comme `tokenizers`, on les saute.
        byte_ids = [self._byte_ids[byte] for byte in word.encode()]
        ids = apply_merges([byte_id for byte_id in byte_ids if byte_id is not None], self._ranks)
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        if len(word) <= 64:
            self._cache[word] = ids
        return ids

    def _word_spans(self, word: str, ids: list[int], offset: int) -> Iterator[Span]:
        """Les intervalles des jetons d'un mot qui commence au caractère `offset`."""
        owner = [
            offset + i
            for i, char in enumerate(word)
            for byte in char.encode()
            if self._byte_ids[byte] is not None
        ]
        position = 0
        for token_id in ids:
            end = position + len(self._token_bytes[token_id])
            yield owner[position], owner[end - 1] + 1
            position = end

    def _decode_ids(self, ids: list[int]) -> str:
        # Une suite d'ids quelconque peut couper un caractère en deux : « � » le signale.
        return b"".join(self._token_bytes[token_id] for token_id in ids).decode("utf-8", "replace")

    def to_json(self) -> dict:
        """Le contenu du fichier, au format de la bibliothèque `tokenizers`."""
        model = {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": self.token_to_id,
            "merges": [list(pair) for pair in self.merges],
        }
        special = {token: self.token_to_id[token] for token in self.special_tokens}
        pre_tokenizer = _pre_tokenizer(self.isolate_digits)
        return layout(model, pre_tokenizer, _BYTE_LEVEL, special)

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur ; lit aussi les fichiers publiés de GPT-2 ou SmolLM2."""
        model = content["model"]
        if model.get("type") != "BPE":
            raise ValueError(
                f"Ce fichier n'est pas celui d'un BPETokenizer (model.type = "
                f"{model.get('type')!r}). Essayez load_tokenizer(path)."
            )
        for isolate_digits in (False, True):
            if _same_split(content.get("pre_tokenizer"), _pre_tokenizer(isolate_digits)):
                token_to_id, special = vocabulary(content)
                merges = _read_merges(model.get("merges"))
                return cls(token_to_id, merges, special, isolate_digits)
        raise ValueError(
            f"Découpage non pris en charge : {content.get('pre_tokenizer')}. "
            "Attendu : « ByteLevel », seul ou précédé de « Digits »."
        )


def _words(text: str, isolate_digits: bool) -> Iterable[str]:
    """Les mots de GPT-2 ; `isolate_digits` met d'abord chaque chiffre à part."""
    if not isolate_digits:
        return GPT2_PATTERN.findall(text)
    words, position = [], 0
    for match in SINGLE_DIGIT.finditer(text):
        words += GPT2_PATTERN.findall(text[position : match.start()])
        words.append(match.group())
        position = match.end()
    return words + GPT2_PATTERN.findall(text[position:])


def _to_bytes(token: str) -> bytes:
    unknown = set(token) - CHAR_TO_BYTE.keys()
    if unknown:
        raise ValueError(
            f"Le jeton « {token} » contient « {min(unknown)} », qui n'appartient pas à "
            "l'alphabet d'octets de GPT-2. Est-ce un jeton spécial à déclarer ?"
        )
    return bytes(CHAR_TO_BYTE[char] for char in token)


def _rank_merges(merges: list[tuple[str, str]], ids: dict[str, int]) -> dict:
    """Associe à chaque paire d'ids le rang de sa fusion et l'id du résultat."""
    ranks = {}
    for rank, (left, right) in enumerate(merges):
        for token in (left, right, left + right):
            if token not in ids:
                raise ValueError(
                    f"La fusion n° {rank} (« {left} », « {right} ») emploie le jeton "
                    f"« {token} », absent du vocabulaire."
                )
        ranks[ids[left], ids[right]] = (rank, ids[left + right])
    return ranks


def _pre_tokenizer(isolate_digits: bool) -> dict:
    if not isolate_digits:
        return _BYTE_LEVEL
    return {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTE_LEVEL]}


def _same_split(found: object, expected: dict) -> bool:
    """Compare deux découpages, sans `trim_offsets`, qui ne change aucun id."""
    if not isinstance(found, dict):
        return False
    if expected["type"] == "Sequence":
        parts = found.get("pretokenizers")
        return (
            found.get("type") == "Sequence"
            and isinstance(parts, list)
            and len(parts) == len(expected["pretokenizers"])
            and all(map(_same_split, parts, expected["pretokenizers"]))
        )
    return {"use_regex": True, **found, "trim_offsets": True} == {
        "use_regex": True,
        "trim_offsets": True,
        **expected,
    }


def _read_merges(merges: object) -> list[tuple[str, str]]:
    """Lit les fusions, écrites ["a", "b"] ou, dans les fichiers anciens, "a b"."""
    if not isinstance(merges, list):
        raise ValueError("La liste des fusions (model.merges) manque ou n'est pas une liste.")
    pairs = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or [type(token) for token in pair] != [str, str]:
            raise ValueError(f"Fusion mal formée : {merge!r}. Attendu : deux jetons.")
        pairs.append((pair[0], pair[1]))
    return pairs
