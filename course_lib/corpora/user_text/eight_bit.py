"""Un encodage à un octet, reconnu par ses lettres : cp1252, ISO-8859-15, MacRoman, cp850 ou cp437.

Chaque encodage candidat lit les octets non ASCII dans leur voisinage ; `likelihood` dit si la
lecture est vraisemblable en français. Un encodage n’est retenu que s’il l’emporte de loin sur
chaque autre lecture du même fichier : sinon le fichier est refusé, avec les deux lectures. La règle
est celle du rapport de vraisemblance, avec des préférences a priori et une marge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

import numpy as np
from charset_normalizer import from_bytes

from course_lib.corpora.user_text.files import Source
from course_lib.corpora.user_text.likelihood import (
    FLOOR,
    FOREIGN,
    FUNCTION_WORDS,
    Context,
    is_seen,
    language_of,
    score,
)
from course_lib.corpora.user_text.places import Place

# Log-probabilité a priori de chaque encodage, relative à celle de cp1252, chez un lecteur français.
ACCEPTED = {"cp1252": 0, "iso8859-15": -1, "mac-roman": -2, "cp850": -2, "cp437": -2, "cp858": -2.5}
_NEIGHBOURS = ("cp1250", "iso8859-2", "cp852", "cp863", "iso8859-9")
_DISTANT = (
    "cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 iso8859-3 iso8859-4 iso8859-5 iso8859-6 "
    "iso8859-7 iso8859-8 iso8859-10 iso8859-13 iso8859-14 iso8859-16 koi8-r koi8-u cp866 cp855 "
    "cp737 cp869 cp857 cp775 cp860 cp861 cp865 mac-latin2 mac-cyrillic mac-greek mac-turkish "
    "mac-iceland cp874"
)
_PRIORS = {
    **ACCEPTED,
    **dict.fromkeys(_NEIGHBOURS, -3.0),
    **dict.fromkeys(_DISTANT.split(), -5.0),
    "hp-roman8": -9.0,
}
WESTERN_PENALTY = 4.0  # de plus pour ces encodages, quand la langue est d’Europe de l’Ouest
MARGIN = 6.0  # avance exigée, en nats, sur toute autre lecture
MAX_COUNT = 4  # le même octet entre les mêmes voisins ne compte pas plus : ce n’est qu’un indice
MAX_SIGN_LEAD = 2.5  # ce que pèsent au plus des signes de ponctuation contre des lettres
MAX_SIGN_LEAD_CP1252 = 4.0  # le seul encodage courant qui ait guillemets et tirets
MAX_DOUBTFUL = 0.02  # part des signes qu’aucun texte ne place ainsi
MIN_SEEN = 0.7  # part des lettres accentuées bien entourées, dans un texte français
MAX_HIGH_LETTERS = 0.5  # part des lettres accentuées, dans un texte d’Europe de l’Ouest


def choose_encoding(source: Source) -> tuple[str, list[str]]:
    """L’encodage certain d’un texte qui n’est pas de l’UTF-8, et ses signes douteux.

    Erreur : ValueError si aucun n’est vraisemblable, ou si deux le sont et lisent autre chose.
    """
    contexts, n_letters, sample = _count_contexts(source)
    language = language_of(sample)
    french = language in ("français", None)
    best, totals = _rank(contexts, language, french)
    if french and _seen_share(best, contexts) < MIN_SEEN:
        language, french = None, False
        best, totals = _rank(contexts, language, french)
    doubtful = [c for c in contexts if _score(best, c, french) <= FLOOR]
    share = sum(contexts[c] for c in doubtful) / sum(contexts.values())
    if best not in ACCEPTED or share > MAX_DOUBTFUL or _too_many_letters(best, contexts, n_letters):
        raise _unknown(source, contexts, best)
    for rival in sorted(totals, key=totals.get, reverse=True)[1:]:
        different = [c for c in contexts if _reading(best)[c[1]] != _reading(rival)[c[1]]]
        lead = _prior(best, language) - _prior(rival, language)
        if different and lead + _lead(best, rival, contexts, different, french) < MARGIN:
            raise _ambiguous(source, best, rival, different)
    if doubtful:
        return best, [_doubt(source, best, doubtful, sum(contexts[c] for c in doubtful))]
    return best, []


@cache
def _reading(encoding: str) -> str:
    """Les 256 caractères d’un encodage ; « � » pour un octet qu’il n’emploie pas."""
    return "".join(bytes([byte]).decode(encoding, "replace") for byte in range(256))


def _count_contexts(source: Source) -> tuple[Counter, int, bytes]:
    """Les octets non ASCII et leurs voisins, le nombre de lettres ASCII, et un échantillon."""
    contexts, n_letters, previous, sample = Counter(), 0, b" ", b""
    for chunk in source.chunks():
        if len(sample) < 2**18:
            sample += chunk[: 2**18]
        data = np.frombuffer(previous + chunk, np.uint8)
        contexts.update(_triples(data))
        letters = (data | 32) - ord("a") < 26
        n_letters += int(letters.sum())
        previous = previous[-1:] + chunk if len(chunk) < 2 else chunk[-2:]
    contexts.update(_triples(np.frombuffer(previous[-2:] + b" ", np.uint8)))
    return contexts, n_letters, sample


def _triples(data: np.ndarray) -> dict[tuple[int, int, int], int]:
    places = np.flatnonzero(data[1:-1] > 127) + 1
    codes = data[places - 1].astype(np.uint32) << 16
    codes |= data[places].astype(np.uint32) << 8
    codes |= data[places + 1]
    values, counts = np.unique(codes, return_counts=True)
    return {
        (int(v) >> 16, int(v) >> 8 & 255, int(v) & 255): int(n)
        for v, n in zip(values, counts, strict=True)
    }


def _score(encoding: str, context: tuple[int, int, int], french: bool) -> float:
    reading = _reading(encoding)
    left, byte, right = context
    return score(Context(reading[left], reading[byte], reading[right]), french)


def _rank(contexts: Counter, language: str | None, french: bool) -> tuple[str, dict[str, float]]:
    totals = {name: _prior(name, language) + _total(name, contexts, french) for name in _PRIORS}
    return max(totals, key=totals.get), totals


def _seen_share(encoding: str, contexts: Counter) -> float:
    """Part des lettres accentuées que le français place ainsi ; 1 sans lettre accentuée."""
    reading = _reading(encoding)
    letters = {c: n for c, n in contexts.items() if reading[c[1]].isalpha()}
    seen = sum(n for c, n in letters.items() if is_seen(Context(*(reading[byte] for byte in c))))
    return seen / sum(letters.values()) if letters else 1.0


def _prior(encoding: str, language: str | None) -> float:
    distant = language in FUNCTION_WORDS and encoding not in ACCEPTED
    return _PRIORS[encoding] - WESTERN_PENALTY * distant


def _total(encoding: str, contexts: Counter, french: bool) -> float:
    return sum(min(n, MAX_COUNT) * _score(encoding, c, french) for c, n in contexts.items())


def _lead(best: str, rival: str, contexts: Counter, different: list, french: bool) -> float:
    """Ce que les octets lus autrement donnent d’avance ; une ponctuation y pèse peu."""
    leads, rivals = defaultdict(float), defaultdict(lambda: FLOOR)
    for context in different:
        mine, other = _score(best, context, french), _score(rival, context, french)
        gap = mine - other
        if mine <= FOREIGN and other > FOREIGN - 3:  # une lettre étrangère n’en bat pas une autre
            gap = min(0.0, gap)
        leads[context[1]] += min(contexts[context], MAX_COUNT) * gap
        rivals[context[1]] = max(rivals[context[1]], other)
    total = signs = 0.0
    for byte, lead in leads.items():
        sign, letter = _reading(best)[byte], _reading(rival)[byte].isalpha()
        is_weak = letter and not sign.isalpha() and sign != "’" and rivals[byte] > FOREIGN - 3
        signs, total = (signs + lead, total) if is_weak else (signs, total + lead)
    return total + min(signs, MAX_SIGN_LEAD_CP1252 if best == "cp1252" else MAX_SIGN_LEAD)


def _too_many_letters(encoding: str, contexts: Counter, n_letters: int) -> bool:
    reading = _reading(encoding)
    high = sum(n for (_, byte, _), n in contexts.items() if reading[byte].isalpha())
    return high > 3 and high > MAX_HIGH_LETTERS * (high + n_letters)


def _find(source: Source, context: tuple[int, int, int]) -> tuple[bytes, int]:
    """Le fichier et la position d’un octet vu entre ces voisins."""
    data = source.read()
    padded = (b" " + data + b" ").find(bytes(context))
    return data, padded if padded >= 0 else data.index(context[1])


def _excerpt(data: bytes, place: int, encoding: str) -> str:
    around = data[max(0, place - 15) : place + 16].decode(encoding, "replace")
    return " ".join(around.split())


def _ambiguous(source: Source, best: str, rival: str, different: list) -> ValueError:
    context = max(different, key=lambda c: _score(rival, c, True) - _score(best, c, True))
    data, place = _find(source, context)
    return ValueError(
        f"Encodage de « {source.path} » non reconnu : {Place.of(data, place)} se lit "
        f"« {_excerpt(data, place, best)} » en {best} et « {_excerpt(data, place, rival)} » en "
        f"{rival}. Dites lequel : encoding={best!r} (--encoding {best}), ou {rival!r}."
    )


def _unknown(source: Source, contexts: Counter, best: str) -> ValueError:
    context = min(contexts, key=lambda c: max(_score(name, c, True) for name in ACCEPTED))
    data, place = _find(source, context)
    guess = from_bytes(data[place : place + 1024]).best()
    name = guess.encoding if guess and guess.encoding not in ("ascii", "utf_8") else best
    return ValueError(
        f"Encodage de « {source.path} » non reconnu : ni UTF-8, ni français certain en cp1252, "
        f"ISO-8859-15, MacRoman, cp850 ou cp437 ; {Place.of(data, place)}. Si c’est du {name} "
        f"(« {_excerpt(data, place, name)} »), dites-le : encoding={name!r} (--encoding {name}), "
        f"ou convertissez-le : iconv -f {name} -t UTF-8."
    )


def _doubt(source: Source, encoding: str, doubtful: list, count: int) -> str:
    data, place = _find(source, doubtful[0])
    return (
        f"{count} signes douteux en {encoding}, dont « {_excerpt(data, place, encoding)} » : "
        f"{Place.of(data, place)}."
    )
