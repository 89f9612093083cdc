"""Écrire un fichier GGUF (version 3) : ce que `gguf_reader` et llama.cpp savent lire.

Le type d’un réglage se déduit de sa valeur : booléen, texte, liste, nombre de Python (sur 32 bits
s’il y tient, sur 64 sinon) ; un scalaire numpy garde le sien (`np.uint64(7)`). Une liste ne mêle
pas les sortes : ses nombres prennent le type qui les contient tous.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from course_lib.files import atomic
from course_lib.pretrained.gguf.blocks import BLOCKS, find_block, quantize
from course_lib.pretrained.gguf.packing import Packed
from course_lib.pretrained.gguf.reader import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_KEY,
    NUMBERS,
    STRING,
)

_CODES = {np.dtype(text): code for code, text in NUMBERS.items() if code != BOOL}
_CODES[np.dtype(bool)] = BOOL
UINT32, INT32, FLOAT32, UINT64, INT64, FLOAT64 = 4, 5, 6, 10, 11, 12
_INTEGERS = {  # du premier choix au dernier : le type, et les valeurs qu’il contient
    UINT32: range(2**32),
    INT32: range(-(2**31), 2**31),
    UINT64: range(2**64),
    INT64: range(-(2**63), 2**63),
}
_LARGEST_F32 = float(np.finfo(np.float32).max)
_LONGEST_NAME = 63  # octets : ggml refuse un tenseur au nom plus long


def write_gguf(
    path: str | Path,
    metadata: Mapping[str, object],
    tensors: Iterable[tuple[str, np.ndarray | Packed, str]],
) -> None:
    """Écrit réglages et tenseurs (nom, tableau, format) ; le fichier n’apparaît que complet.

    Les tenseurs sont convertis un à un, au moment de les écrire ; un `Packed`, déjà rangé, va
    dans le fichier tel quel. ValueError si deux portent le même
    nom, si un format ou un réglage ne s’écrit pas ; FileNotFoundError si le dossier manque.
    """
    path, tensors = Path(path), list(tensors)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Le dossier « {path.parent} » n’existe pas : créez-le d’abord.")
    names = [name for name, _, _ in tensors]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Deux tenseurs s’appellent « {twice} » : un nom ne sert qu’une fois.")
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if tensors and alignment != DEFAULT_ALIGNMENT:
        raise ValueError(
            f"general.alignment = {alignment!r} : les tenseurs s’écrivent tous les "
            f"{DEFAULT_ALIGNMENT} octets. Retirez ce réglage."
        )
    header = _header(metadata, tensors)
    with atomic(path) as temporary, temporary.open("wb") as stream:
        stream.write(header)
        _pad(stream)
        for name, array, kind in tensors:
            stream.write(_content(name, array, kind))
            _pad(stream)


def _content(name: str, array: np.ndarray | Packed, kind: str) -> memoryview:
    if isinstance(array, Packed):
        if array.kind != kind:
            raise ValueError(f"« {name} » est déjà rangé en {array.kind}, et non en {kind}.")
        return np.ascontiguousarray(array.raw).data
    try:
        return quantize(kind, array).data
    except ValueError as reason:
        raise ValueError(f"« {name} » : {reason}") from None


def _header(metadata: Mapping, tensors: Sequence[tuple[str, np.ndarray | Packed, str]]) -> bytes:
    parts = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        code, content = _encode(key, value)
        parts += [_name(key, MAX_KEY), struct.pack("<I", code), content]
    offset = 0
    for name, array, kind in tensors:
        block, shape = find_block(kind), array.shape
        if not 1 <= len(shape) <= MAX_DIMENSIONS or not array.size or shape[-1] % block.n_values:
            raise ValueError(
                f"« {name} » a la forme {shape} : il faut de 1 à {MAX_DIMENSIONS} dimensions, "
                f"aucune nulle, et en {kind} des lignes d’un multiple de {block.n_values} nombres."
            )
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        parts += [
            _name(name, _LONGEST_NAME),
            dimensions,
            struct.pack("<IQ", BLOCKS[kind].code, offset),
        ]
        offset += _aligned(array.size // block.n_values * block.n_bytes)
    return b"".join(parts)


def _aligned(size: int) -> int:
    return -(-size // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT


def _pad(stream: BinaryIO) -> None:
    position = stream.tell()
    stream.write(bytes(_aligned(position) - position))


def _text(text: str) -> bytes:
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"Le texte {text[:40]!r} contient une moitié de caractère (de U+D800 à U+DFFF) : UTF-8 "
            "ne l’écrit pas. Retirez-la."
        ) from None
    return struct.pack("<Q", len(raw)) + raw


def _name(name: str, longest: int) -> bytes:
    content = _text(name)
    if len(content) - 8 > longest:
        raise ValueError(
            f"« {name[:40]}… » : un nom de {len(content) - 8} octets. Il en faut {longest} au plus."
        )
    return content


def _encode(key: str, value: object) -> tuple[int, bytes]:
    """Le code du type d’un réglage, et ses octets."""
    if isinstance(value, str):
        return STRING, _text(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return ARRAY, _encode_array(key, list(value))
    code = _number_code(key, value)
    return code, np.asarray(value, NUMBERS[code]).tobytes()


def _encode_array(key: str, values: list) -> bytes:
    if values and all(isinstance(value, str) for value in values):
        return struct.pack("<IQ", STRING, len(values)) + b"".join(map(_text, values))
    code = _common_code(key, values)
    return struct.pack("<IQ", code, len(values)) + np.array(values, NUMBERS[code]).tobytes()


def _common_code(key: str, values: list) -> int:
    """Le type qui contient tous les nombres d’une liste ; INT32 si elle est vide."""
    codes = {_number_code(key, value) for value in values} or {INT32}
    if len(codes) == 1:
        return codes.pop()
    if codes == {FLOAT32, FLOAT64}:
        return FLOAT64
    if codes.isdisjoint({BOOL, FLOAT32, FLOAT64}):
        integers = [int(value) for value in values]
        return _integer_code(key, min(integers), max(integers))
    raise _unwritable(key, values)


def _number_code(key: str, value: object) -> int:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, np.generic) and value.dtype in _CODES:
        return _CODES[value.dtype]
    if isinstance(value, float):
        return FLOAT64 if _LARGEST_F32 < abs(value) < float("inf") else FLOAT32
    if isinstance(value, int):
        return _integer_code(key, value, value)
    raise _unwritable(key, value)


def _integer_code(key: str, smallest: int, largest: int) -> int:
    for code, values in _INTEGERS.items():
        if smallest in values and largest in values:
            return code
    raise _unwritable(key, smallest if smallest == largest else [smallest, largest])


def _unwritable(key: str, value: object) -> ValueError:
    return ValueError(
        f"Le réglage « {key} » vaut {repr(value)[:80]} : un GGUF n’écrit que des nombres (64 bits "
        "au plus), des booléens, des textes, et des listes d’une seule de ces sortes."
    )
