"""Les tokeniseurs que nos classes ne font pas, confiés à la bibliothèque `tokenizers`.

La bibliothèque n’est importée que si l’on s’en sert : nos classes suffisent souvent.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from course_lib.extras import needed_by
from course_lib.tokenization.base import Span, Tokenizer, check_text
from course_lib.tokenization.bytes_alphabet import CHAR_TO_BYTE
from course_lib.tokenization.files import frame_template, read_frame, read_json
from course_lib.tokenization.streaming import ByteStream, PieceStream, Stream, WindowStream

SPACE = "▁"  # SentencePiece écrit ainsi l’espace


def _check_ids(content: dict, ids: dict[str, int]) -> None:
    """ValueError si la bibliothèque donne d’autres ids que le fichier, ou deux fois le même."""
    twice = [token_id for token_id, n in Counter(ids.values()).items() if n > 1]
    if twice:
        owners = [token for token, token_id in ids.items() if token_id == twice[0]]
        raise ValueError(
            f"Plusieurs jetons ont l’identifiant {twice[0]} ({', '.join(sorted(owners))}) : on ne "
            "sait lequel décoder. Téléchargez le fichier à nouveau."
        )
    for token in content.get("added_tokens") or []:
        if ids.get(token["content"]) != token["id"]:
            raise ValueError(
                f"Le jeton ajouté « {token['content']} » a l’identifiant {token['id']} : le "
                f"vocabulaire, ou la place suivante, lui donne {ids.get(token['content'])}. "
                "Téléchargez le fichier à nouveau."
            )


def _check_merges(model: dict) -> None:
    """ValueError si une fusion est plus courte que le préfixe qu’on lui ôte.

    La bibliothèque la couperait sans vérifier, et le programme entier s’arrêterait.
    """
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if model.get("type") != "BPE" or not isinstance(prefix, str) or not isinstance(merges, list):
        return
    for merge in merges if prefix else ():
        pair = merge.split(" ") if isinstance(merge, str) else merge
        last = pair[-1] if isinstance(pair, list) and pair else None
        if not isinstance(last, str) or not last.startswith(prefix) or not prefix.isascii():
            raise ValueError(
                f"« tokenizer.json » : continuing_subword_prefix = {prefix!r}, et la fusion "
                f"{merge!r} finit par un morceau qui ne commence pas ainsi. Téléchargez le fichier "
                "à nouveau."
            )


@contextmanager
def _in_french(failure: str) -> Iterator[None]:
    """Dit en ValueError ce que la bibliothèque reproche à un fichier.

    Elle ne lève que `Exception` et, si elle panique, une exception qui n’en est pas une.
    """
    try:
        yield
    except (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise ValueError(f"{failure} : {error}.") from None


class SharedTokenizer:
    """Un tokeniseur de la bibliothèque `tokenizers`, à l’interface des nôtres.

    `encode` n’ajoute ni début ni fin, et ne coupe rien, quoi qu’en dise le fichier.
    """

    def __init__(self, backend):
        self.backend = backend
        backend.no_truncation()
        backend.no_padding()
        self.token_to_id: dict[str, int] = backend.get_vocab()
        self._size = max(self.token_to_id.values(), default=-1) + 1
        added = backend.get_added_tokens_decoder()
        self.special_ids = frozenset(i for i, token in added.items() if token.special)
        self.special_tokens = [added[i].content for i in sorted(self.special_ids)]
        self.bos_id = self.eos_id = self.pad_id = self.unk_id = None
        framing = backend.post_processor
        self.frame = read_frame(None if framing is None else json.loads(framing.__getstate__()))

    @classmethod
    def load(cls, path: str | Path) -> "SharedTokenizer":
        """Relit un fichier de `tokenizers`. ValueError s’il est illisible."""
        return cls.from_json(read_json(path))

    @classmethod
    def from_json(cls, content: dict) -> "SharedTokenizer":
        """Le tokeniseur que décrit le contenu d’un fichier. ValueError s’il est illisible."""
        with needed_by("pretrained"):
            from tokenizers import Tokenizer as Backend

        _check_merges(content["model"])
        with _in_french("« tokenizer.json » n’est pas le fichier d’un tokeniseur"):
            tokenizer = cls(Backend.from_str(json.dumps(content)))
        _check_ids(content, tokenizer.token_to_id)
        return tokenizer

    assign_roles = Tokenizer.assign_roles
    encode_sentence = Tokenizer.encode_sentence
    _check_id = Tokenizer._check_id

    @property
    def vocab_size(self) -> int:
        """Le plus grand identifiant, plus un."""
        return self._size

    @property
    def tokens(self) -> list[str]:
        """La forme interne de chaque jeton, rangée par id."""
        return [self.backend.id_to_token(i) or "" for i in range(self.vocab_size)]

    def set_frame(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Change les ids que `encode_sentence` met avant et après un texte."""
        with needed_by("pretrained"):
            from tokenizers import Tokenizer as Backend

        names = {i: self.backend.id_to_token(i) for i in (*before, *after)}
        content = json.loads(self.backend.to_str())
        content["post_processor"] = frame_template(before, after, names)
        self.backend = Backend.from_str(json.dumps(content))
        self.frame = (list(before), list(after))

    def encode(self, text: str) -> list[int]:
        """Les ids du texte."""
        check_text(text)
        with _in_french("Ce tokeniseur ne sait pas découper ce texte"):
            return self.backend.encode(text, add_special_tokens=False).ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Les ids, et les caractères que chacun couvre."""
        check_text(text)
        with _in_french("Ce tokeniseur ne sait pas découper ce texte"):
            encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Le texte des ids. ValueError ou TypeError si l’un d’eux n’est pas un identifiant."""
        checked = [self._check_id(one) for one in ids]
        with _in_french("Ce tokeniseur ne sait pas décoder ces jetons"):
            return self.backend.decode(checked, skip_special_tokens)

    def _stream(self) -> Stream:
        decoder = self.backend.decoder
        content = None if decoder is None else json.loads(decoder.__getstate__())
        if content is None:
            return PieceStream(self._spaced)
        if content["type"] == "ByteLevel":
            return ByteStream(self._token_bytes)
        steps = content["decoders"] if content["type"] == "Sequence" else [content]
        return WindowStream(self._decode_all, self.backend.id_to_token, steps)

    def _decode_all(self, ids: list[int]) -> str:
        return self.decode(ids)

    def _spaced(self, before: str | None, token_id: int) -> str:
        """Sans décodeur, la bibliothèque met une espace entre les jetons."""
        token = self.backend.id_to_token(token_id)
        return token if before is None else " " + token

    def _token_bytes(self, token_id: int) -> bytes:
        """Les octets d’un jeton écrit dans l’alphabet de GPT-2, ou son texte s’il n’en est pas."""
        token = self.backend.id_to_token(token_id) or ""
        if CHAR_TO_BYTE.keys() >= set(token):
            return bytes(map(CHAR_TO_BYTE.__getitem__, token))
        return token.encode()

    def save(self, path: str | Path) -> None:
        """Écrit le fichier de `tokenizers`, inchangé."""
        self.backend.save(str(path))
