"""Le tokeniseur par paires d’octets (BPE), celui de GPT-2 et de ses descendants.

Le texte est d’abord coupé en mots (l’espace reste collée au mot qui la suit), chaque mot est
écrit en octets UTF-8, puis les octets sont fusionnés en jetons. Quand les 256 octets sont au
vocabulaire, et `train` les y met, aucun texte n’est inconnu : `decode(encode(texte)) == texte`.
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
from course_lib.tokenization.files import AddedToken, layout, vocabulary
from course_lib.tokenization.merges import apply_merges, learn_merges
from course_lib.tokenization.splits import GPT2, SMOLLM, Split, byte_level
from course_lib.tokenization.streaming import ByteStream

BPE_SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>")
_REFUSED = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")


class BPETokenizer(Tokenizer):
    """Tokeniseur BPE sur les octets.

    `merges` est la liste ordonnée des fusions, en paires de textes de l’alphabet d’octets de
    GPT-2 (« Ġ » y représente l’espace) ; `token_to_id` emploie le même alphabet, et `tokens`
    la forme lisible. `split` dit comment le texte se coupe en mots. `ignore_merges` : un mot
    entier au vocabulaire est un jeton, même si les fusions n’y mènent pas (Llama 3).

    `token_bytes` : les octets de chaque jeton, rangés par id.
    `encode` n’ajoute ni début ni fin ; `encode_sentence` met ceux du fichier (`frame`).
    """

    def __init__(
        self,
        token_to_id: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        special_tokens: Iterable[str | AddedToken] = (),
        split: Split = GPT2,
        ignore_merges: bool = False,
    ):
        super().__init__(token_to_id, special_tokens)
        if split.nfc and any(token.normalized for token in self.added_tokens):
            raise ValueError(
                "Un jeton ajouté est cherché dans le texte normalisé (normalized), que ce fichier "
                "compose (NFC) : ce cas n’est pas pris en charge."
            )
        self.merges = [tuple(pair) for pair in merges]
        self.split, self.ignore_merges = split, ignore_merges
        self._ranks = _rank_merges(self.merges, self.token_to_id)
        self._byte_ids = [self.token_to_id.get(BYTE_TO_CHAR[byte]) for byte in range(256)]
        # Un jeton ajouté est du texte, sauf s’il est aussi un octet ou le fruit d’une fusion.
        reachable = CHAR_TO_BYTE.keys() | {left + right for left, right in self.merges}
        as_text = {token.content for token in self.added_tokens} - reachable
        self.token_bytes = [
            token.encode() if token in as_text else _to_bytes(token) for token in self._token_by_id
        ]

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
        """Apprend les fusions jusqu’à `vocab_size` jetons : spéciaux, 256 octets, fusions.

        `isolate_digits` coupe chaque chiffre à part, comme SmolLM2 ; sinon, les mots de GPT-2.
        Avec None, fusionne tant qu’une paire revient `min_frequency` fois ; un petit corpus
        peut aussi s’épuiser avant `vocab_size`. Le résultat ne dépend que des textes.
        """
        split = SMOLLM if isolate_digits else GPT2
        special = check_special_tokens(special_tokens)
        check_vocab_size(vocab_size, len(special) + 256, "les jetons spéciaux et les 256 octets")
        counts: Counter[str] = Counter()
        for text in iterate_texts(texts, special):
            counts.update(split.words(text))
        symbols = special + sorted(CHAR_TO_BYTE)
        byte_ids = [symbols.index(BYTE_TO_CHAR[byte], len(special)) for byte in range(256)]
        words = [[byte_ids[byte] for byte in word.encode()] for word in counts]
        pairs = learn_merges(
            words, list(counts.values()), symbols, vocab_size, min_frequency, progress
        )
        token_to_id = {token: i for i, token in enumerate(symbols)}
        merges = [(symbols[left], symbols[right]) for left, right in pairs]
        return cls(token_to_id, merges, special, split)

    @property
    def isolate_digits(self) -> bool:
        """Vrai si chaque chiffre est un mot à part, faux pour les mots de GPT-2.

        ValueError pour un autre découpage : un outil qui ne connaît que ces deux-là se tromperait.
        """
        if self.split not in (GPT2, SMOLLM):
            raise ValueError(
                f"Ce tokeniseur coupe les mots autrement ({self.split}) : il faut ici le découpage "
                "de GPT-2, avec ou sans chiffres isolés."
            )
        return self.split == SMOLLM

    @property
    def tokens(self) -> list[str]:
        """La forme lisible de chaque jeton, rangée par id ; « \\xc3 » pour un octet isolé."""
        return [content.decode("utf-8", "backslashreplace") for content in self.token_bytes]

    def encode(self, text: str) -> list[int]:
        """Renvoie les ids du texte, sans ajouter de jeton de début ni de fin."""
        ids: list[int] = []
        cache = self._cache
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                continue
            for word in self.split.words(self.split.prepare(text[start:end])):
                ids.extend(cache.get(word) or self._encode_word(word))
        return ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Comme `encode`, avec l’intervalle de caractères de chaque jeton.

        Quand un caractère est réparti sur plusieurs jetons, chacun reçoit tout le caractère.
        """
        ids: list[int] = []
        spans: list[Span] = []
        for start, end, special_id in self._segments(text):
            if special_id is not None:
                ids.append(special_id)
                spans.append((start, end))
                continue
            prepared, places = self.split.prepare_with_places(text[start:end])
            if places is None:
                places = [(i, i + 1) for i in range(end - start)]
            position = 0
            for word in self.split.words(prepared):
                word_ids = self._encode_word(word)
                ids.extend(word_ids)
                for first, last in self._word_spans(word, word_ids, position):
                    spans.append((start + places[first][0], start + places[last - 1][1]))
                position += len(word)
        return ids, spans

    def _encode_word(self, word: str) -> list[int]:
        known = self._cache.get(word)
        if known is not None:
            return known
        # Un vocabulaire publié peut ignorer quelques octets : comme `tokenizers`, on les saute.
        content = word.encode()
        whole = None
        if self.ignore_merges:
            whole = self.token_to_id.get("".join(BYTE_TO_CHAR[byte] for byte in content))
        byte_ids = [self._byte_ids[byte] for byte in content]
        known_ids = [byte_id for byte_id in byte_ids if byte_id is not None]
        ids = apply_merges(known_ids, self._ranks.get) if whole is None else [whole]
        self._remember(word, ids)
        return ids

    def _word_spans(self, word: str, ids: list[int], offset: int) -> Iterator[Span]:
        """Les intervalles des jetons d’un mot qui commence au caractère `offset`."""
        written = [(offset + i, byte) for i, char in enumerate(word) for byte in char.encode()]
        if sum(len(self.token_bytes[token_id]) for token_id in ids) < len(written):
            written = [pair for pair in written if self._byte_ids[pair[1]] is not None]
        owner = [place for place, _ in written]
        position = 0
        for token_id in ids:
            end = position + len(self.token_bytes[token_id])
            yield owner[position], owner[end - 1] + 1
            position = end

    def _decode_ids(self, ids: list[int]) -> str:
        # Une suite d’ids quelconque peut couper un caractère en deux : « � » le signale.
        return b"".join(self.token_bytes[token_id] for token_id in ids).decode("utf-8", "replace")

    def _stream(self) -> ByteStream:
        return ByteStream(self.token_bytes.__getitem__)

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
            "ignore_merges": self.ignore_merges,
            "vocab": self.token_to_id,
            "merges": [list(pair) for pair in self.merges],
        }
        steps = self.split.to_json()
        content = layout(
            model, steps["pre_tokenizer"], byte_level(), self.added_ids, self.post_processor
        )
        return content | steps

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur ; lit aussi les fichiers de GPT-2, SmolLM2, Qwen2, Llama 3.

        ValueError, avec la raison, si le fichier demande ce que cette classe ne fait pas.
        """
        model = content["model"]
        if model.get("type") != "BPE":
            raise ValueError(
                f"Ce fichier n’est pas celui d’un BPETokenizer (model.type = "
                f"{model.get('type')!r}). Essayez load_tokenizer(path)."
            )
        split = Split.from_json(content)
        token_to_id, added = vocabulary(content, handled=("normalizer", "post_processor"))
        merges = _read_merges(model.get("merges"))
        tokenizer = cls(token_to_id, merges, added, split, model.get("ignore_merges") is True)
        _check_options(content, complete=None not in tokenizer._byte_ids)
        tokenizer._set_post_processor(content.get("post_processor"))
        return tokenizer


def _check_options(content: dict, complete: bool) -> None:
    """ValueError si le fichier demande ce que la classe ne fait pas ; `complete` : 256 octets."""
    model, decoder = content["model"], content.get("decoder")
    refused = [key for key in _REFUSED if model.get(key)]
    if not complete:  # sinon aucun octet n’est inconnu : ces options ne servent pas
        refused += [key for key in ("unk_token", "byte_fallback") if model.get(key)]
    if refused:
        raise ValueError(
            f"Option non prise en charge : model.{refused[0]} = {model[refused[0]]!r}. Attendu : "
            "un BPE sur les octets, sans hasard ni marque de début ou de fin de mot."
        )
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise ValueError(f"Décodage non pris en charge : {decoder}. Attendu : « ByteLevel ».")


def _to_bytes(token: str) -> bytes:
    unknown = set(token) - CHAR_TO_BYTE.keys()
    if unknown:
        raise ValueError(
            f"Le jeton « {token} » contient « {min(unknown)} », qui n’appartient pas à "
            "l’alphabet d’octets de GPT-2. Est-ce un jeton spécial à déclarer ?"
        )
    return bytes(CHAR_TO_BYTE[char] for char in token)


def _rank_merges(merges: list[tuple[str, str]], ids: dict[str, int]) -> dict:
    """Associe à chaque paire d’ids le rang de sa fusion et l’id du résultat."""
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


def _read_merges(merges: object) -> list[tuple[str, str]]:
    """Lit les fusions, écrites ["a", "b"] ou, dans les fichiers anciens, "a b"."""
    if not isinstance(merges, list):
        raise ValueError("La liste des fusions (model.merges) manque ou n’est pas une liste.")
    pairs = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or [type(token) for token in pair] != [str, str]:
            raise ValueError(f"Fusion mal formée : {merge!r}. Attendu : deux jetons.")
        pairs.append((pair[0], pair[1]))
    return pairs
