"""Ce que les trois tokeniseurs ont en commun : vocabulaire, jetons spéciaux, vérifications.

Un tokeniseur transforme un texte en une suite d’entiers (les identifiants de jetons, ou
« ids ») et inversement. L’identifiant d’un jeton est sa place dans le vocabulaire.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Self

import regex

from course_lib.files import write_json
from course_lib.tokenization.files import (
    AddedToken,
    frame_template,
    no_frame,
    read_frame,
    read_json,
    starts_bare,
)
from course_lib.tokenization.patterns import special_pattern
from course_lib.tokenization.streaming import Stream

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
Span = tuple[int, int]
Segment = tuple[int, int, int | None]
CACHE_LIMIT = 1 << 16  # mots


class Tokenizer(ABC):
    """L’interface commune. Un jeton spécial écrit dans un texte est reconnu comme tel.

    Attributs : `token_to_id` (dict, texte interne → id), `special_tokens` (liste de textes) et
    `added_tokens` (les mêmes, et ceux qui sont reconnus tels quels sans être spéciaux).
    `pad_id`, `bos_id`, `eos_id`, `unk_id` valent None si le jeton n’est pas au vocabulaire ;
    `assign_roles` les change. `frame` : les ids qu’`encode_sentence` met avant et après un texte.
    """

    def __init__(
        self, token_to_id: Mapping[str, int], special_tokens: Iterable[str | AddedToken] = ()
    ):
        self.token_to_id = dict(token_to_id)
        self.added_tokens = _as_added_tokens(special_tokens)
        self.special_tokens = [token.content for token in self.added_tokens if token.special]
        self.post_processor: dict | None = None
        self.frame: tuple[list[int], list[int]] = ([], [])
        ids = sorted(self.token_to_id.values())
        if ids != list(range(len(ids))):
            raise ValueError(
                f"Les identifiants du vocabulaire doivent aller de 0 à {len(ids) - 1}, "
                "chacun une seule fois. Renumérotez les jetons."
            )
        for token in self.added_tokens:
            if token.content not in self.token_to_id:
                raise ValueError(
                    f"Le jeton spécial « {token.content} » n’est pas au vocabulaire : ajoutez-le."
                )
        self._token_by_id = sorted(self.token_to_id, key=self.token_to_id.__getitem__)
        self.special_ids = frozenset(self.token_to_id[token] for token in self.special_tokens)
        passes = (
            [token.content for token in self.added_tokens if token.normalized == second]
            for second in (False, True)
        )
        self._added_patterns = [special_pattern(tokens) for tokens in passes if tokens]
        self._cache: dict[str, list[int]] = {}
        self.pad_id, self.bos_id, self.eos_id, self.unk_id = map(
            self.token_to_id.get, SPECIAL_TOKENS
        )

    def assign_roles(self, **roles: str | None) -> None:
        """Dit quel jeton joue chaque rôle : `bos`, `eos`, `pad`, `unk` ; None : aucun.

        Les modèles publiés nomment autrement leurs jetons (« <|im_end|> » finit un message).
        ValueError si le rôle n’existe pas ou si le jeton n’est pas au vocabulaire.
        """
        for role, token in roles.items():
            if role not in ("bos", "eos", "pad", "unk"):
                raise ValueError(f"Rôle inconnu : {role!r}. Choisissez bos, eos, pad ou unk.")
            if token is not None and token not in self.token_to_id:
                raise ValueError(f"Le jeton « {token} » (rôle {role}) n’est pas au vocabulaire.")
            setattr(self, f"{role}_id", None if token is None else self.token_to_id[token])

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], vocab_size: int | None = None) -> Self:
        """Apprend le vocabulaire sur des textes (ou sur un seul, donné tel quel)."""

    @abstractmethod
    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Renvoie les ids et, pour chacun, l’intervalle (début, fin) des caractères couverts."""

    @abstractmethod
    def _stream(self) -> Stream:
        """Un flux neuf, qui décode des ids vérifiés l’un après l’autre."""

    def _decode_ids(self, ids: list[int]) -> str:
        """Décode des ids déjà vérifiés."""
        stream = self._stream()
        return "".join([*map(stream.feed, ids), stream.finish()])

    @abstractmethod
    def to_json(self) -> dict:
        """Le contenu du fichier, au format de la bibliothèque `tokenizers`."""

    @classmethod
    @abstractmethod
    def from_json(cls, content: dict) -> Self:
        """Reconstruit le tokeniseur depuis le contenu de son fichier."""

    @property
    def vocab_size(self) -> int:
        """Nombre de jetons du vocabulaire, jetons spéciaux compris."""
        return len(self._token_by_id)

    @property
    def tokens(self) -> list[str]:
        """La forme lisible de chaque jeton, rangée par id."""
        return list(self._token_by_id)

    def encode(self, text: str) -> list[int]:
        """Renvoie les ids du texte, sans ajouter de jeton de début ni de fin."""
        return self.encode_with_spans(text)[0]

    def encode_sentence(self, text: str, max_length: int | None = None) -> list[int]:
        """Les ids du texte, entre ceux de `frame` ; coupé à `max_length` jetons, tout compris.

        Un modèle publié a pu apprendre avec un jeton de début ou de fin : `frame` les donne.
        """
        before, after = self.frame
        ids = self.encode(text)
        if max_length is not None:
            room = max_length - len(before) - len(after)
            if room < 0:
                raise ValueError(
                    f"max_length = {max_length} : il faut au moins {len(before) + len(after)} "
                    "places, pour les jetons de début et de fin."
                )
            ids = ids[:room]
        return [*before, *ids, *after]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Renvoie le texte des ids (liste, tableau ou tenseur à une dimension).

        Les jetons spéciaux s’écrivent tels quels, sauf si `skip_special_tokens` est vrai.
        ValueError si un id est hors du vocabulaire, TypeError si ce n’est pas un entier.
        """
        checked = [self._check_id(value) for value in ids]
        if skip_special_tokens:
            checked = [value for value in checked if value not in self.special_ids]
        return self._decode_ids(checked)

    def save(self, path: str | Path) -> None:
        """Écrit un JSON que lit aussi `tokenizers.Tokenizer.from_file` (mêmes ids)."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Relit un fichier écrit par `save`. ValueError si son contenu ne convient pas."""
        return cls.from_json(read_json(path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size})"

    def _check_id(self, value: int) -> int:
        if isinstance(value, bool):
            raise TypeError("Un identifiant de jeton est un entier ; reçu un booléen.")
        try:
            token_id = index(value)
        except TypeError:
            raise TypeError(
                f"Un identifiant de jeton est un entier ; reçu {value!r} "
                f"({type(value).__name__}). Donnez une suite d’entiers à une dimension."
            ) from None
        if not 0 <= token_id < self.vocab_size:
            raise ValueError(
                f"L’identifiant {token_id} est hors du vocabulaire : "
                f"il doit être compris entre 0 et {self.vocab_size - 1}."
            )
        return token_id

    @property
    def added_ids(self) -> dict[AddedToken, int]:
        """L’id de chaque jeton ajouté."""
        return {token: self.token_to_id[token.content] for token in self.added_tokens}

    def set_frame(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Change les ids que `encode_sentence` met avant et après un texte."""
        names = {i: self._token_by_id[self._check_id(i)] for i in (*before, *after)}
        self._set_post_processor(frame_template(before, after, names))

    def declare_no_start(self) -> None:
        """Écrit qu’aucun texte appris n’avait de jeton de début : `bos_id` vaut alors None."""
        self._set_post_processor(no_frame())

    def _set_post_processor(self, post_processor: dict | None) -> None:
        """Garde l’encadrement d’un fichier, pour le réécrire, et en tire `frame` (et `bos_id`)."""
        frame = read_frame(post_processor)
        self.frame = tuple([self._check_id(value) for value in side] for side in frame)
        self.post_processor = post_processor
        self.bos_id = None if starts_bare(post_processor) else self.bos_id

    def _remember(self, word: str, ids: list[int]) -> None:
        """Retient les ids d’un mot : dans un texte, les mots reviennent."""
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        if len(word) <= 64:
            self._cache[word] = ids

    def _segments(self, text: str) -> list[Segment]:
        """Découpe le texte en (début, fin, id) ; id est None hors des jetons ajoutés."""
        check_text(text)
        segments: list[Segment] = [(0, len(text), None)] if text else []
        for pattern in self._added_patterns:
            segments = [part for segment in segments for part in self._cut(text, segment, pattern)]
        return segments

    def _cut(self, text: str, segment: Segment, pattern: regex.Pattern) -> Iterator[Segment]:
        """Recoupe un segment autour des jetons que l’expression y trouve."""
        position, end, known_id = segment
        if known_id is not None:
            yield segment
            return
        for match in pattern.finditer(text, position, end):
            if match.start() > position:
                yield position, match.start(), None
            yield *match.span(), self.token_to_id[match.group()]
            position = match.end()
        if position < end:
            yield position, end, None


def check_text(text: str) -> None:
    """TypeError si ce n’est pas du texte, ValueError s’il contient une demi-paire UTF-16."""
    if not isinstance(text, str):
        raise TypeError(
            f"Le texte doit être une chaîne (str) ; reçu {type(text).__name__}. "
            "Décodez d’abord les octets, par exemple avec .decode('utf-8')."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Le caractère n° {error.start} (U+{ord(text[error.start]):04X}) est un demi-codet "
            "isolé (surrogate), qui n’existe dans aucun texte Unicode valide. "
            "Nettoyez le texte : text.encode('utf-8', 'replace').decode('utf-8')."
        ) from None


def check_special_tokens(special_tokens: Iterable[str]) -> list[str]:
    """Renvoie la liste des jetons spéciaux ; ils sont non vides et tous différents."""
    if isinstance(special_tokens, str):
        raise TypeError(
            f"Donnez les jetons spéciaux dans un tuple ou une liste ; reçu « {special_tokens} »."
        )
    tokens = list(special_tokens)
    for token in tokens:
        check_text(token)
    if "" in tokens or len(set(tokens)) != len(tokens):
        raise ValueError(
            f"Les jetons spéciaux doivent être non vides et tous différents ; reçu {tokens}."
        )
    return tokens


def _as_added_tokens(tokens: Iterable[str | AddedToken]) -> list[AddedToken]:
    """Des jetons donnés par leur texte (spéciaux) ou décrits en détail ; tous différents."""
    if isinstance(tokens, str):
        check_special_tokens(tokens)
    added = [one if isinstance(one, AddedToken) else AddedToken(one) for one in tokens]
    check_special_tokens([token.content for token in added])
    return added


def iterate_texts(texts: Iterable[str], special_tokens: list[str]) -> Iterator[str]:
    """Parcourt les textes d’apprentissage, vérifiés et privés des jetons spéciaux."""
    pattern = special_pattern(special_tokens)
    for text in [texts] if isinstance(texts, str) else texts:
        check_text(text)
        yield from pattern.split(text) if pattern else [text]


def check_vocab_size(vocab_size: int | None, minimum: int, reason: str) -> None:
    """ValueError si la taille demandée ne contient pas les jetons obligatoires."""
    if vocab_size is None:
        return
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int):
        raise TypeError(
            f"vocab_size doit être un entier ou None ; reçu {vocab_size!r} "
            f"({type(vocab_size).__name__})."
        )
    if vocab_size < minimum:
        raise ValueError(
            f"vocab_size={vocab_size} est trop petit : il faut au moins {minimum} jetons "
            f"({reason})."
        )
