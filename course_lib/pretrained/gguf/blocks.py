"""Les formats de nombres d’un fichier GGUF : du nombre flottant au bloc de quelques bits.

Un format « quantifié » range ses nombres par blocs de 32, ou par super-blocs de 256 (formats en
K). Un bloc porte son échelle d (et parfois un minimum m) en F16, puis de petits entiers q :

    Q8_0  d, 32 × 8 bits               w = d·q
    Q4_0  d, 16 octets de deux q       w = d·(q − 8)
    Q4_1  d, m, 16 octets de deux q    w = d·q + m
    Q5_0, Q5_1                         les mêmes, le cinquième bit de chaque q à part (4 octets)
    Q2_K … Q6_K                        un super-bloc : d (et dmin), puis une échelle entière par
                                       sous-bloc de 16 ou 32 nombres : w = d·s·q − dmin·m

Dans un octet, le q de poids faible est dans la première moitié du bloc, l’autre dans la seconde.
Source : ggml, `ggml-common.h` et `gguf-py/gguf/quants.py`, dont les calculs sont repris à
l’identique (mêmes bits). Formes : n blocs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course_lib.pretrained.gguf.levels import LEVELS, Levels

SUPER_BLOCK = 256
LARGEST_F16 = 65504.0


@dataclass(frozen=True)
class BlockFormat:
    """Un format : son nom, son code dans le fichier, les nombres et les octets d’un bloc."""

    kind: str
    code: int
    n_values: int
    n_bytes: int


BLOCKS: dict[str, BlockFormat] = {
    row[0]: BlockFormat(*row)
    for row in (
        ("F32", 0, 1, 4),
        ("F16", 1, 1, 2),
        ("Q4_0", 2, 32, 18),
        ("Q4_1", 3, 32, 20),
        ("Q5_0", 6, 32, 22),
        ("Q5_1", 7, 32, 24),
        ("Q8_0", 8, 32, 34),
        ("Q2_K", 10, 256, 84),
        ("Q3_K", 11, 256, 110),
        ("Q4_K", 12, 256, 144),
        ("Q5_K", 13, 256, 176),
        ("Q6_K", 14, 256, 210),
        ("IQ4_XS", 23, 256, 136),
        ("F64", 28, 1, 8),
        ("BF16", 30, 1, 2),
    )
}
KIND_OF_CODE = {block.code: block.kind for block in BLOCKS.values()}
UNREADABLE = {  # les autres formats de ggml, pour les nommer en les refusant
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip


def find_block(kind: str) -> BlockFormat:
    """Le format de ce nom ; ValueError, avec la liste, s’il n’est pas connu."""
    if kind not in BLOCKS:
        raise ValueError(f"Format de nombres inconnu : {kind!r}. On sait lire {', '.join(BLOCKS)}.")
    return BLOCKS[kind]


def dequantize(kind: str, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Les nombres d’un tenseur, en F32, à la forme `shape` ; `raw` : ses octets (uint8).

    C’est toujours un nouveau tableau : il ne garde rien de `raw`.
    ValueError si le format est inconnu ou si le nombre d’octets ne convient pas à la forme.
    """
    blocks = _blocks(kind, raw, shape)
    with np.errstate(over="ignore", invalid="ignore"):  # un fichier abîmé rend des infinis : à voir
        if kind in _FLOATS:
            return _FLOATS[kind](blocks).reshape(shape)
        return LEVELS[kind](blocks).values().reshape(shape)  # (n, nombres du bloc) → shape


def read_levels(kind: str, raw: np.ndarray, shape: tuple[int, int]) -> Levels | None:
    """Les entiers d’une matrice (N, K), tels que le fichier les range, sans en faire des nombres.

    `integers` (N, K), `scales` et `minimums` (N, G). None si le format est flottant. ValueError
    comme `dequantize`.
    """
    blocks = _blocks(kind, raw, shape)
    if kind in _FLOATS:
        return None
    read, rows = LEVELS[kind](blocks), shape[0]
    minimums = None
    if read.minimums is not None:
        minimums = (-read.minimums if read.subtracted else read.minimums).reshape(rows, -1)
    return Levels(read.integers.reshape(shape), read.scales.reshape(rows, -1), minimums)


def _blocks(kind: str, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Les octets d’un tenseur, bloc par bloc."""
    block = find_block(kind)
    n_values = int(np.prod(shape, dtype=object))
    if n_values % block.n_values or raw.size != n_values // block.n_values * block.n_bytes:
        raise ValueError(
            f"{raw.size} octets pour un tenseur {kind} de forme {tuple(shape)} : il faut des blocs "
            f"de {block.n_values} nombres sur {block.n_bytes} octets."
        )
    return np.ascontiguousarray(raw).reshape(-1, block.n_bytes)  # (octets,) → (n, octets du bloc)


def quantize(kind: str, array: np.ndarray) -> np.ndarray:
    """Les octets (uint8) d’un tenseur au format F32, F16 ou Q8_0.

    ValueError si le format ne s’écrit pas, si la dernière dimension ne se découpe pas en blocs, ou
    si un nombre n’est pas fini ou dépasse ce que son échelle en F16 peut dire.
    """
    if kind not in _WRITERS:
        raise ValueError(
            f"On ne sait pas écrire {kind!r} : choisissez parmi {', '.join(_WRITERS)}."
        )
    with np.errstate(over="ignore"):  # ce qui déborde devient infini, refusé plus bas
        array = np.ascontiguousarray(array, dtype=np.float32)
    block = BLOCKS[kind]
    if array.shape[-1] % block.n_values:
        raise ValueError(
            f"La dernière dimension du tenseur, {array.shape[-1]}, n’est pas un multiple de "
            f"{block.n_values} : le format {kind} l’exige. Écrivez-le en F16."
        )
    limit = {"F32": np.inf, "F16": LARGEST_F16, "Q8_0": 127 * LARGEST_F16}[kind]
    if not (np.isfinite(array).all() and (np.abs(array) <= limit).all()):
        raise ValueError(
            f"Le tenseur contient un nombre indéfini, ou trop grand pour {kind} : l’entraînement "
            "a-t-il divergé ?"
        )
    return _WRITERS[kind](array.reshape(-1, block.n_values)).reshape(-1)


def _read_float(dtype: str) -> Callable:
    def read(blocks: np.ndarray) -> np.ndarray:
        return blocks.view(dtype).astype(np.float32)

    return read


def _read_bf16(blocks: np.ndarray) -> np.ndarray:
    """Un BF16 est la moitié haute d’un F32."""
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _write_q8_0(blocks: np.ndarray) -> np.ndarray:
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / d
    inverse[np.isinf(inverse)] = 0  # d nul ou minuscule : en F16 il vaut 0, le bloc aussi
    scaled = blocks * inverse
    # Les demis s’éloignent de zéro, comme dans ggml ; np.round les mène au pair.
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    rounded = np.sign(scaled) * (whole + np.floor(2 * (magnitude - whole)))
    levels = rounded.astype(np.int8).view(np.uint8)
    return np.concatenate([d.astype("<f2").view(np.uint8), levels], axis=1)


_FLOATS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "F32": _read_float("<f4"),
    "F16": _read_float("<f2"),
    "F64": _read_float("<f8"),
    "BF16": _read_bf16,
}
_WRITERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "F32": lambda blocks: blocks.astype("<f4").view(np.uint8),
    "F16": lambda blocks: blocks.astype("<f2").view(np.uint8),
    "Q8_0": _write_q8_0,
}
