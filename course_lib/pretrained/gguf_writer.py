"""Écrire un fichier GGUF (version 3) : ce que `gguf_reader` et llama.cpp savent lire.

Le type d’un réglage se déduit de sa valeur : booléen, texte, liste, nombre de Python (entier sur 32
bits s’il y tient, flottant sur 32) ; un scalaire numpy garde le sien (`np.uint64(7)`).
"""

import os
import struct
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from course_lib.pretrained.gguf_blocks import BLOCKS, find_block, quantize
from course_lib.pretrained.gguf_reader import ARRAY, BOOL, DEFAULT_ALIGNMENT, MAGIC, NUMBERS, STRING

_CODES = {np.dtype(text): code for code, text in NUMBERS.items() if code != BOOL}
_CODES[np.dtype(bool)] = BOOL
UINT32, INT32, FLOAT32, UINT64, INT64 = 4, 5, 6, 10, 11


def write_gguf(
    path: str | Path,
    metadata: Mapping[str, object],
    tensors: Sequence[tuple[str, np.ndarray, str]],
) -> None:
    """Écrit réglages et tenseurs (nom, tableau, format) ; le fichier n’apparaît que complet.

    Les tenseurs sont convertis un à un, au moment de les écrire. ValueError si deux portent le même
    nom, si un format ou un réglage ne s’écrit pas ; FileNotFoundError si le dossier manque.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Le dossier « {path.parent} » n’existe pas : créez-le d’abord.")
    names = [name for name, _, _ in tensors]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Deux tenseurs s’appellent « {twice} » : un nom ne sert qu’une fois.")
    header = _header(metadata, tensors)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(header)
            _pad(stream)
            for _, array, kind in tensors:
                stream.write(quantize(kind, array).tobytes())
                _pad(stream)
        os.chmod(temporary, 0o644)  # mkstemp réserve le fichier à son propriétaire
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _header(metadata: Mapping, tensors: Sequence[tuple[str, np.ndarray, str]]) -> bytes:
    parts = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        code, content = _encode(key, value)
        parts += [_text(key), struct.pack("<I", code), content]
    offset = 0
    for name, array, kind in tensors:
        block, shape = find_block(kind), array.shape
        if not shape or array.size % block.n_values:
            raise ValueError(
                f"« {name} » a la forme {shape} : en {kind}, il faut au moins une dimension et un "
                f"multiple de {block.n_values} nombres."
            )
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        parts += [_text(name), dimensions, struct.pack("<IQ", BLOCKS[kind].code, offset)]
        offset += _aligned(array.size // block.n_values * block.n_bytes)
    return b"".join(parts)


def _aligned(size: int) -> int:
    return -(-size // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT


def _pad(stream: BinaryIO) -> None:
    position = stream.tell()
    stream.write(bytes(_aligned(position) - position))


def _text(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


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
    codes = {_number_code(key, value) for value in values} or {INT32}
    if len(codes) > 1:  # des entiers de tailles diverses : le plus large
        codes = {_number_code(key, max(values, key=abs)) if min(values) >= 0 else INT64}
    (code,) = codes
    content = np.array(values, NUMBERS[code]).tobytes()
    return struct.pack("<IQ", code, len(values)) + content


def _number_code(key: str, value: object) -> int:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, np.generic) and value.dtype in _CODES:
        return _CODES[value.dtype]
    if isinstance(value, float):
        return FLOAT32
    if isinstance(value, int):
        for code, smallest, largest in (
            (UINT32, 0, 2**32),
            (INT32, -(2**31), 0),
            (UINT64, 0, 2**64),
            (INT64, -(2**63), 0),
        ):
            if smallest <= value < largest:
                return code
    raise ValueError(
        f"Le réglage « {key} » vaut {value!r} : un GGUF n’écrit que des nombres (64 bits au plus), "
        "des booléens, des textes, et des listes d’une seule de ces sortes."
    )
