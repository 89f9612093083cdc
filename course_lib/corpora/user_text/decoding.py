"""Des octets au texte : l’encodage est annoncé, certain, ou le fichier est refusé.

UTF-8 se vérifie ; UTF-16 et UTF-32 sans marque se trahissent par leurs octets nuls ; pour le reste,
voir `eight_bit`. Tout refus nomme l’octet fautif et sa place, et donne un remède.
"""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from course_lib.corpora.user_text.assembly import assemble
from course_lib.corpora.user_text.eight_bit import choose_encoding
from course_lib.corpora.user_text.files import Source
from course_lib.corpora.user_text.mojibake import find_mojibake, restored
from course_lib.corpora.user_text.places import Place, character_place

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # avant UTF-16, dont la marque est un préfixe
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
CONTROL_BYTES = bytes(sorted({*range(32), 127} - set(b"\t\n\v\f\r\x1a")))
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
# « É » ou « ß » en cp1252 puis un signe qui finit un mot : par hasard, c’est aussi de l’UTF-8
_COINCIDENCE = re.compile(rb"(?<=[A-Za-z])[\xc7-\xca\xd6\xdc\xdf][\x85\x91-\x97\xa0\xab\xbb]")


class Decoded(NamedTuple):
    """Un texte décodé : son encodage, et en clair ce qu’il a de remarquable."""

    text: str
    encoding: str
    notices: list[str]


def decode(source: Source, encoding: str | None = None) -> Decoded:
    """Le texte d’un fichier, son encodage et ce que sa lecture a de remarquable.

    `encoding` l’impose : la lecture est alors stricte. Erreur : ValueError si l’encodage est
    inconnu, s’il n’est pas celui du fichier, ou si le fichier n’en laisse pas de certain.
    """
    if encoding is not None:
        name = _known_codec(encoding, source)
        _refuse_utf8_under_another_name(source, name)
        return _decode_strictly(source, name, announced=False)
    for mark, name in _MARKS:
        if source.head.startswith(mark):
            return _decode_strictly(source, name, announced=True)
    try:
        text, notices = assemble(_decoded(_text_bytes(source), "utf-8"), source, "utf-8")
    except (UnicodeDecodeError, _ControlByte) as error:
        failure = error
    else:
        _refuse_coincidence(text, source)
        return Decoded(text, "utf-8", notices)
    if isinstance(failure, _ControlByte):
        return _decode_unmarked(source, failure.args[0])
    return _decode_damaged(source)


class _ControlByte(Exception):
    """Un octet de commande, et sa position."""


def _text_bytes(source: Source) -> Iterator[bytes]:
    """Les octets d’un texte ; un octet de commande lève `_ControlByte`."""
    offset, end_of_file = 0, False
    for chunk in source.chunks():
        kept = chunk.rstrip(b"\x1a")  # la fin de fichier de DOS
        if end_of_file and chunk.strip(b"\x1a"):
            raise _ControlByte(offset - 1)
        end_of_file = len(kept) < len(chunk)
        if len(kept.translate(None, CONTROL_BYTES + b"\x1a")) < len(kept):
            place = re.search(b"[" + re.escape(CONTROL_BYTES) + b"\x1a]", kept).start()
            raise _ControlByte(offset + place)
        yield kept
        offset += len(chunk)


def _decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Décode par morceaux ; UnicodeDecodeError comme le ferait `bytes.decode`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _known_codec(encoding: str, source: Source) -> str:
    try:
        info = codecs.lookup(encoding)
        known = info._is_text_encoding and info.incrementaldecoder is not None
    except (LookupError, TypeError, ValueError):
        known = False
    if not known or info.name in ("idna", "punycode", "unicode_escape", "raw_unicode_escape"):
        raise ValueError(
            f"encoding = {encoding!r}, pour « {source.path} » : encodage inconnu. Donnez utf-8, "
            "utf-16, cp1252, iso-8859-1, iso-8859-15, mac-roman, cp850 ou un autre nom de Python."
        )
    return "utf-8-sig" if info.name == "utf-8" else info.name


def _decode_strictly(source: Source, encoding: str, announced: bool) -> Decoded:
    try:
        pieces = _decoded(source.chunks(), encoding)
        text, notices = assemble(pieces, source, encoding, forced=not announced)
        return Decoded(text, encoding, notices)
    except UnicodeError:
        pass
    data, name = source.read(), encoding.removesuffix("-sig")
    try:
        data.decode(encoding)
        start = len(data)
    except UnicodeDecodeError as error:
        start = error.start
    except UnicodeError:
        start = 0
    claim, remedy = f"n’est pas en {name}, l’encodage demandé", "Donnez-en un autre, ou aucun."
    if announced:
        claim, remedy = f"s’annonce en {encoding} mais n’en est pas", "Réenregistrez-le en UTF-8."
    raise ValueError(
        f"Le fichier « {source.path} » {claim} : {Place.of(data, start, encoding)} illisible. "
        f"{remedy}"
    )


def _refuse_utf8_under_another_name(source: Source, encoding: str) -> None:
    """ValueError si l’encodage imposé lit de travers un fichier qui est en UTF-8."""
    if encoding.startswith("utf"):
        return
    data = source.read()
    try:
        data.decode("utf-8")
        text = data.decode(encoding)
    except UnicodeError:
        return
    if (index := find_mojibake(text)) is not None:
        seen, meant = restored(text, index)
        raise ValueError(
            f"Le fichier « {source.path} » est en UTF-8 : lu en {encoding}, l’encodage demandé, il "
            f"aurait « {seen} » pour « {meant} » ({character_place(text, index)}). Donnez "
            "encoding='utf-8' (--encoding utf-8), ou aucun encodage."
        )


def _decode_unmarked(source: Source, offset: int) -> Decoded:
    """UTF-16 ou UTF-32 sans marque d’ordre, ou un fichier binaire."""
    data = source.read()
    plausible = [name for name in _WIDE if b"\x00" in data and _is_wide_text(data, name)]
    if len(plausible) == 1:
        pieces = _decoded([data], plausible[0])
        text, notices = assemble(pieces, source, plausible[0])
        return Decoded(text, plausible[0], notices)
    hint = ""
    if b"\x00" in data and data.count(0) > len(data) // 5:
        hint = " S’il est en UTF-16, dites-le : encoding='utf-16-le' (--encoding utf-16-le)."
    raise ValueError(
        f"Le fichier « {source.path} » est binaire (il contient des caractères de commande) : "
        f"{Place.of(data, offset)}. Donnez un fichier texte, réenregistré au besoin en UTF-8.{hint}"
    )


def _is_wide_text(data: bytes, encoding: str) -> bool:
    """Des lettres d’un alphabet, des espaces : ce que l’autre ordre des octets ne donne pas."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    usual = sum(char < "\u0600" or "\u2000" <= char < "\u2300" for char in text)
    ascii_share = sum(char.isascii() for char in text)
    controls = any(char < " " and char not in "\t\n\v\f\r\x1a" for char in text)
    return not controls and usual >= 0.95 * len(text) and ascii_share >= 0.05 * len(text)


def _decode_damaged(source: Source) -> Decoded:
    """Ni UTF-8, ni marque : de l’UTF-8 coupé ou abîmé, ou un encodage à un octet."""
    data = source.read()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        first = error.start
    window = data[max(0, first - 2**19) : first + 2**19]
    sequences = _MULTIBYTE.findall(window)
    n_high = len(window) - len(window.translate(None, bytes(range(128, 256))))
    n_invalid = n_high - sum(map(len, sequences))
    latin = sum(
        b"\xc2" <= s[:1] <= b"\xc3" or s[:2] in (b"\xc5\x93", b"\xe2\x80") for s in sequences
    )
    if not latin and len(sequences) < 3 * n_invalid:
        del data
        return _decode_eight_bit(source)
    start, end = _whole_characters(data)
    try:
        data[start:end].decode("utf-8")
    except UnicodeDecodeError as error:
        bad = start + error.start
        raise ValueError(
            f"Le fichier « {source.path} » est en UTF-8, sauf {Place.of(data, bad)} : un morceau "
            "d’un autre encodage, ou un octet abîmé. Corrigez cet endroit, ou écartez ces octets : "
            f"iconv -c -f UTF-8 -t UTF-8 {shlex.quote(str(source.path))} > texte.txt."
        ) from None
    text, notices = assemble(_decoded([data[start:end]], "utf-8"), source, "utf-8")
    notice = (
        "Le fichier commence ou finit au milieu d’un caractère ; octets ôtés : "
        f"{start} en tête, {len(data) - end} en fin."
    )
    return Decoded(text, "utf-8", [notice, *notices])


def _whole_characters(data: bytes) -> tuple[int, int]:
    """Bornes des caractères entiers d’un texte UTF-8 dont un bout a pu être coupé."""
    start = re.match(rb"[\x80-\xbf]{0,3}", data).end()
    tail = re.search(rb"([\xc2-\xf4][\x80-\xbf]{0,2})$(?!\n)", data[-3:])
    if tail and not _MULTIBYTE.fullmatch(tail[1]):
        return start, len(data) - len(tail[1])
    return start, len(data)


def _decode_eight_bit(source: Source) -> Decoded:
    for _ in _text_bytes_or_refuse(source):
        pass
    encoding, notices = choose_encoding(source)
    pieces = _decoded(_text_bytes(source), encoding)
    text, more = assemble(pieces, source, encoding)
    return Decoded(text, encoding, [*notices, *more])


def _text_bytes_or_refuse(source: Source) -> Iterator[bytes]:
    try:
        yield from _text_bytes(source)
    except _ControlByte as control:
        place = Place.of(source.read(), control.args[0])
        raise ValueError(
            f"Le fichier « {source.path} » est binaire (il contient des caractères de commande) : "
            f"{place}. Donnez un fichier texte, réenregistré au besoin en UTF-8."
        ) from None


def _refuse_coincidence(text: str, source: Source) -> None:
    """« CAFÉ : » en cp1252 est aussi de l’UTF-8, « CAFɠ: » : si tout le fichier est ainsi."""
    rare = [match[0] for match in islice(re.finditer("[^\x00-\x7f]", text), 51)]
    if not rare or len(rare) > 50 or not all("ǀ" <= c < "\u07ff" for c in rare):
        return
    data = source.read()
    if 2 * len(_COINCIDENCE.findall(data)) == len(data) - len(
        data.translate(None, bytes(range(128, 256)))
    ):
        place = _COINCIDENCE.search(data).start()
        western = data[place : place + 2].decode("cp1252")
        raise ValueError(
            f"Encodage de « {source.path} » incertain : un signe "
            f"({character_place(text, text.index(rare[0]))}) se lit « {rare[0]} » en utf-8 et "
            f"« {western} » en cp1252. Dites lequel : encoding='cp1252' (--encoding cp1252), ou "
            "'utf-8'."
        )
