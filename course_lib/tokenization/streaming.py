"""Décoder au fil de l’eau : le texte d’une réponse, jeton après jeton, sans jamais tout redécoder.

Un jeton ne donne pas toujours son texte aussitôt : il peut n’être qu’un octet d’un caractère, ou
ouvrir une suite d’octets que seul le jeton suivant ferme. Chaque tokeniseur a donc son flux
(`_stream`) : `feed` rend ce qui est sûr, `finish` le reste. Le coût d’un jeton ne dépend ni de la
longueur déjà écrite, ni de la taille du vocabulaire.
"""

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
_LONGEST_CONTEXT = 8  # jetons


class Stream(Protocol):
    """Le flux d’un tokeniseur : des ids déjà vérifiés, dans l’ordre."""

    def feed(self, token_id: int) -> str:
        """Le texte qu’ajoute ce jeton, autant qu’il est sûr."""

    def finish(self) -> str:
        """Ce qui restait en attente."""


class IncrementalDecoder:
    """Décode des ids un par un : les morceaux, mis bout à bout, font `decode(tous les ids)`.

    `skip_special_tokens` tait les jetons spéciaux, comme dans `decode`. Un texte par décodeur.
    """

    def __init__(self, tokenizer, skip_special_tokens: bool = False):
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special_tokens else frozenset()
        self._stream: Stream | None = tokenizer._stream()

    def feed(self, token_id: int) -> str:
        """Le texte que ce jeton permet d’écrire ; vide s’il faut attendre le suivant.

        ValueError si l’id est hors du vocabulaire, ou si le décodeur est fini.
        """
        if self._stream is None:
            raise ValueError("Ce décodeur est fini : faites-en un autre pour un autre texte.")
        checked = self._tokenizer._check_id(token_id)
        return "" if checked in self._skipped else self._stream.feed(checked)

    def finish(self) -> str:
        """La fin du texte : « � » pour un caractère resté incomplet. Vide la seconde fois."""
        stream, self._stream = self._stream, None
        return "" if stream is None else stream.finish()


class ByteStream:
    """Des jetons faits d’octets UTF-8 : un caractère attend son dernier octet."""

    def __init__(self, token_bytes: Callable[[int], bytes]):
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        """Les caractères complets."""
        return self._decoder.decode(self._token_bytes(token_id))

    def finish(self) -> str:
        """« � » s’il manque des octets."""
        return self._decoder.decode(b"", final=True)


class PieceStream:
    """Des jetons dont le texte ne dépend que des derniers caractères qui le précèdent.

    `piece(avant, id)` : le texte qu’ajoute un jeton ; `avant` vaut None pour le premier, sinon les
    deux derniers caractères écrits (moins s’il n’y en a pas tant).
    """

    def __init__(self, piece: Callable[[str | None, int], str]):
        self._piece, self._before = piece, None

    def feed(self, token_id: int) -> str:
        """Le texte du jeton."""
        text = self._piece(self._before, token_id)
        self._before = ((self._before or "") + text)[-2:]
        return text

    def finish(self) -> str:
        """Rien : aucun jeton n’attend."""
        return ""


class WindowStream:
    """Un décodeur de `tokenizers` : chaque jeton est décodé avec les quelques précédents.

    Une suite d’octets (`<0xE2>`…) attend d’être finie, car un seul octet faux la change toute. Si
    les `steps` du décodeur ne sont pas de celles dont l’effet est local, tout attend `finish`.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        token: Callable[[int], str | None],
        steps: Sequence[dict],
    ):
        self._decode, self._token = decode, token
        self._local = is_local(steps)
        self._joins_bytes = any(step["type"] == "ByteFallback" for step in steps)
        self._context: list[int] = []
        self._shown = ""  # le texte de `_context`
        self._pending: list[int] = []

    def feed(self, token_id: int) -> str:
        """Le texte devenu sûr."""
        token = self._token(token_id)
        if token is None:  # la bibliothèque saute les ids que personne ne porte
            return ""
        self._pending.append(token_id)
        if not self._local or (self._joins_bytes and token in _BYTES):
            return ""
        return self.finish()

    def finish(self) -> str:
        """Le texte de tout ce qui attendait."""
        if not self._pending:
            return ""
        known = self._context + self._pending
        new = self._decode(known)[len(self._shown) :]
        self._pending = []
        self._shorten(known)
        return new

    def _shorten(self, known: list[int]) -> None:
        """Le plus court contexte dont le texte n’est pas vide : le décodeur ôte l’espace du début.

        Un contexte réduit à « ▁ » passerait pour un début de texte.
        """
        for length in range(1, min(_LONGEST_CONTEXT, len(known)) + 1):
            shown = self._decode(known[-length:])
            if shown:
                self._context, self._shown = known[-length:], shown
                return
        self._context, self._shown = known, self._decode(known)


def is_local(steps: Sequence[dict]) -> bool:
    """Vrai si ces étapes de décodage n’agissent que sur un jeton, son voisin ou un octet."""
    fused = False
    for step in steps:
        kind, pattern = step["type"], step.get("pattern")
        if kind == "Strip" and fused:
            local = step["start"] <= 1 and step["stop"] == 0
        elif kind == "Replace" and fused:
            local = len(pattern.get("String", "")) == 1
        else:
            local = kind in ("Strip", "Replace", "Fuse", "ByteFallback", "Metaspace", "WordPiece")
            local = local or (kind == "BPEDecoder" and len(steps) == 1)
        if not local:
            return False
        fused = fused or kind == "Fuse"
    return True
