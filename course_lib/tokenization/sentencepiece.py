"""Le BPE de SentencePiece, tel que les GGUF le décrivent : des scores, et non des fusions.

Deux voisins fusionnent si leur réunion est un jeton ; d’abord celle au meilleur score, puis la plus
à gauche. C’est l’ordre de SentencePiece et de llama.cpp. Des convertisseurs donnent pourtant à tous
les jetons le même score : l’ordre appris n’est plus que dans les identifiants, et le plus petit
l’emporte alors, comme dans le modèle d’origine (llama.cpp, lui, prend la fusion la plus à gauche).

Source : Kudo et Richardson 2018, arXiv:1808.06226 ; SentencePiece, `bpe_model.cc` ; llama.cpp,
`llama-vocab.cpp`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import regex

from course_lib.extras import needed_by
from course_lib.tokenization.base import CACHE_LIMIT, Span, check_text
from course_lib.tokenization.merges import apply_merges
from course_lib.tokenization.shared import SPACE, SharedTokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # sortes de jetons
_WORD = regex.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
_INNER_SPACE = regex.compile(f"[^{SPACE}]{SPACE}")
_LONGEST_CACHED = 64


class SentencePieceTokenizer(SharedTokenizer):
    """Un BPE de SentencePiece : un score et une sorte (`NORMAL`, `CONTROL`…) par jeton.

    `space_prefix` : une espace est ajoutée devant le texte, et après un jeton ajouté, pour que le
    premier mot soit un mot. Un caractère inconnu est écrit en octets, ou devient `unknown` s’il n’y
    a pas de jetons d’octets. Un jeton spécial écrit dans un texte est reconnu comme tel.

    ValueError s’il n’y a pas un score par jeton, si les scores ne sont pas des rangs, ou s’il
    manque de quoi écrire un caractère inconnu.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        scores: Sequence[float],
        kinds: Sequence[int],
        unknown: int | None,
        space_prefix: bool = True,
    ):
        _check_scores(tokens, scores)
        self._space_prefix = space_prefix
        self._piece_ids = {
            token: i
            for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind not in (UNKNOWN, CONTROL, BYTE)
        }
        self._unused = {token for token, i in self._piece_ids.items() if kinds[i] == UNUSED}
        self._ranks = {token: ((-scores[i], i), token) for token, i in self._piece_ids.items()}
        self._by_words = not any(map(_INNER_SPACE.search, self._piece_ids))
        ids = {token: i for i, token in enumerate(tokens)}
        byte_ids = [ids.get(f"<0x{byte:02X}>") for byte in range(256)]
        self._byte_ids = None if None in byte_ids else byte_ids
        self._unknown = unknown
        if self._byte_ids is None and unknown is None:
            raise ValueError(
                "Ce vocabulaire n’a ni jeton inconnu ni les 256 octets (<0x00>… <0xFF>) : on ne "
                "saurait écrire un caractère qu’il ignore. Chargez plutôt le dossier Hugging Face."
            )
        self._added = [
            token for token, kind in zip(tokens, kinds, strict=True)
            if kind in (UNKNOWN, CONTROL, USER_DEFINED)
        ]  # fmt: skip
        self._pattern, self._added_ids = _added_pattern(self._added, ids)
        self._pieces_cache: dict[str, list[str]] = {}
        self._spaced = next((t for t in self._added if " " in t or SPACE in t), None)
        super().__init__(_ranked_backend(tokens, scores, kinds, unknown, space_prefix))

    def encode(self, text: str) -> list[int]:
        """Les ids du texte."""
        return self.encode_with_spans(text)[0]

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Les ids, et les caractères que chacun couvre (le premier, pour l’espace ajoutée)."""
        check_text(text)
        ids: list[int] = []
        spans: list[Span] = []
        position = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            self._encode_part(text, position, match.start(), ids, spans)
            ids.append(self._added_ids[match.group().replace(" ", SPACE)])
            spans.append(match.span())
            position = match.end()
        self._encode_part(text, position, len(text), ids, spans)
        return ids, spans

    def save(self, path: str | Path) -> None:
        """Écrit un `tokenizer.json`, les scores rangés en fusions.

        ValueError si cela changerait les ids.
        """
        if self._spaced is not None:
            raise ValueError(
                f"Ce tokeniseur ne s’écrit pas dans un « tokenizer.json » : le jeton ajouté "
                f"« {self._spaced} » contient une espace. Gardez le fichier GGUF."
            )
        super().save(path)

    def _encode_part(
        self, text: str, start: int, end: int, ids: list[int], spans: list[Span]
    ) -> None:
        """Ajoute les jetons d’une part du texte, sans jeton ajouté."""
        if start == end:
            return
        part = text[start:end].replace(" ", SPACE)
        shift = start  # place, dans le texte, du premier caractère de `part`
        if self._space_prefix:
            part, shift = SPACE + part, start - 1
        unknown = False  # des caractères inconnus qui se suivent font un seul jeton
        for piece in self._pieces(part):
            span = (max(start, shift), max(start + 1, shift + len(piece)))
            shift += len(piece)
            found = self._ids_of(piece)
            if found is not None:
                ids.extend(found)
                spans.extend([span] * len(found))
            elif unknown:
                spans[-1] = (spans[-1][0], span[1])
            else:
                ids.append(self._unknown)
                spans.append(span)
            unknown = found is None

    def _ids_of(self, piece: str) -> list[int] | None:
        """L’id d’un morceau, ou ses octets ; None s’il n’a ni l’un ni les autres."""
        known = self._piece_ids.get(piece)
        if known is not None:
            return [known]
        if self._byte_ids is None:
            return None
        return [self._byte_ids[byte] for byte in piece.encode()]

    def _pieces(self, part: str) -> Iterator[str]:
        """Les morceaux d’un texte ; mot par mot quand aucun jeton n’en joint deux."""
        for word in _WORD.findall(part) if self._by_words else [part]:
            pieces = self._pieces_cache.get(word)
            if pieces is None:
                pieces = self._merged(word)
                if len(self._pieces_cache) >= CACHE_LIMIT:
                    self._pieces_cache.clear()
                if len(word) <= _LONGEST_CACHED:
                    self._pieces_cache[word] = pieces
            yield from pieces

    def _merged(self, word: str) -> list[str]:
        halves: dict[str, tuple[str, str]] = {}

        def union(pair: tuple[str, str]) -> tuple[tuple[float, int], str] | None:
            found = self._ranks.get(pair[0] + pair[1])
            if found is not None and found[1] in self._unused:
                halves[found[1]] = pair
            return found

        def reopened(piece: str) -> Iterator[str]:
            """Un jeton inutilisé sert à fusionner, mais n’est pas rendu."""
            if piece not in halves:
                yield piece
                return
            for half in halves[piece]:
                yield from reopened(half)

        merged = apply_merges(list(word), union)
        return [one for piece in merged for one in reopened(piece)] if halves else merged


def _check_scores(tokens: Sequence[str], scores: Sequence[float]) -> None:
    if len(scores) != len(tokens):
        raise ValueError(
            f"Il faut un score par jeton ; reçu {len(tokens)} jetons et {len(scores)} scores."
        )
    wrong = next((i for i, score in enumerate(scores) if not float(score).is_integer()), None)
    if wrong is not None:
        raise ValueError(
            f"Le jeton « {tokens[wrong]} » a le score {scores[wrong]} : les scores d’un BPE sont "
            "des rangs (des entiers). Ce vocabulaire est sans doute un « Unigram » de "
            "SentencePiece, qu’un GGUF « llama » décrit mal. Chargez plutôt le dossier Hugging "
            "Face du modèle : son tokenizer.json se lit."
        )


def _added_pattern(
    added: Sequence[str], ids: dict[str, int]
) -> tuple[regex.Pattern | None, dict[str, int]]:
    """L’expression qui reconnaît les jetons ajoutés (le plus long d’abord), et leurs ids.

    SentencePiece écrit « ▁ » l’espace : dans un jeton ajouté, les deux se valent.
    """
    by_text = {token.replace(" ", SPACE): ids[token] for token in added if token}
    if not by_text:
        return None, {}
    longest = sorted(by_text, key=len, reverse=True)
    written = (regex.escape(token).replace(SPACE, f"[ {SPACE}]") for token in longest)
    return regex.compile("|".join(written)), by_text


def _ranked_backend(
    tokens: Sequence[str],
    scores: Sequence[float],
    kinds: Sequence[int],
    unknown: int | None,
    space_prefix: bool,
):
    """Le même BPE pour `tokenizers` : des fusions, par score puis par id du jeton produit."""
    with needed_by("pretrained"):
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    ids = {token: i for i, token in enumerate(tokens)}
    pieces = {t: i for t, i in ids.items() if kinds[i] not in (UNKNOWN, CONTROL, BYTE)}
    merges = [
        (token[:i], token[i:])
        for token in sorted(pieces, key=lambda token: (-scores[ids[token]], ids[token]))
        for i in range(1, len(token))
        if token[:i] in pieces and token[i:] in pieces
    ]
    name = None if unknown is None else tokens[unknown]
    backend = Tokenizer(models.BPE(ids, merges, unk_token=name, fuse_unk=True, byte_fallback=True))
    before = [normalizers.Replace(" ", SPACE)]
    after = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if space_prefix:
        before, after = [normalizers.Prepend(SPACE), *before], [*after, decoders.Strip(" ", 1, 0)]
    backend.normalizer, backend.decoder = normalizers.Sequence(before), decoders.Sequence(after)
    for token, kind in zip(tokens, kinds, strict=True):
        shared = AddedToken(token, special=kind != USER_DEFINED, normalized=False)
        if kind in (UNKNOWN, CONTROL):
            backend.add_special_tokens([shared])
        elif kind == USER_DEFINED:
            backend.add_tokens([shared])
    return backend
