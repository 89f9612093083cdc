"""Ranger des poids déjà arrondis dans les blocs d’un GGUF : l’inverse exact de `dequantize`.

`quantize` choisit elle-même les entiers d’un bloc ; ici ils sont donnés, avec leurs échelles. Ce
que relira `dequantize`, ou llama.cpp, vaut au bit près ce qu’ils disent.
Formes : n blocs, G groupes par bloc.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course_lib.pretrained.gguf.blocks import BLOCKS, dequantize
from course_lib.pretrained.gguf.levels import IQ4_LEVELS


@dataclass(frozen=True)
class Packed:
    """Une matrice déjà au format `kind` : les octets de chaque ligne, uint8 (lignes, octets)."""

    kind: str
    raw: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """La forme de la matrice, en nombres."""
        block = BLOCKS[self.kind]
        return len(self.raw), self.raw.shape[1] // block.n_bytes * block.n_values

    @property
    def size(self) -> int:
        """Combien de nombres elle contient."""
        rows, columns = self.shape
        return rows * columns

    def values(self) -> np.ndarray:
        """Ses nombres, en F32."""
        return dequantize(self.kind, self.raw.reshape(-1), self.shape)


def pack_blocks(
    kind: str,
    levels: np.ndarray,
    scales: np.ndarray,
    d: np.ndarray,
    minimums: np.ndarray | None = None,
    dmin: np.ndarray | None = None,
) -> np.ndarray:
    """Les octets (n, octets d’un bloc) de blocs dont tout est choisi.

    `levels` (n, nombres du bloc) et `scales` (n, G), entiers ; `d` (n,) ; en Q4_K, `minimums` et
    `dmin` de même. ValueError si le format ne se range pas, ou si un nombre n’y tient pas.
    """
    if kind not in _PACKERS:
        raise ValueError(
            f"On ne sait pas ranger {kind!r} : choisissez parmi {', '.join(_PACKERS)}."
        )
    pack, allowed, (low, high) = _PACKERS[kind]
    integers = {"levels": (levels, allowed), "scales": (scales, range(low, high + 1))}
    if minimums is not None:
        integers["minimums"] = (minimums, range(64))
    for name, (array, permitted) in integers.items():
        strangers = np.setdiff1d(array, permitted)
        if strangers.size:
            raise ValueError(
                f"{name} contient {strangers[0]} : en {kind}, il faut des entiers de "
                f"{permitted[0]} à {permitted[-1]}, parmi ceux de la grille."
            )
    for name, array in {"d": d, "dmin": dmin}.items():
        if array is not None and (np.float16(array) != array).any():
            raise ValueError(f"{name} contient un nombre qui n’est pas un F16 : arrondissez-le.")
    levels, scales = levels.astype(np.int16), scales.astype(np.int16)
    if kind == "Q4_K":
        return pack(levels, scales, _f16(d), minimums.astype(np.int16), _f16(dmin))
    return pack(levels, scales, _f16(d))


def _f16(numbers: np.ndarray) -> np.ndarray:
    """Des nombres (n,) en octets (n, 2)."""
    return numbers.astype("<f2").view(np.uint8).reshape(-1, 2)


def _fields(values: np.ndarray, width: int, bits: int) -> np.ndarray:
    """Des entiers (n, k) de `bits` bits dans des octets, `width` à la fois, bits bas d’abord."""
    shifts = np.arange(0, 8, bits).reshape(1, 1, -1, 1)
    grouped = values.reshape(len(values), -1, 8 // bits, width) << shifts
    return np.bitwise_or.reduce(grouped, axis=2).reshape(len(values), -1).astype(np.uint8)


def _pack_q8_0(levels: np.ndarray, scales: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.concatenate([d, levels.astype(np.int8).view(np.uint8)], axis=1)


def _pack_q3_k(levels: np.ndarray, scales: np.ndarray, d: np.ndarray) -> np.ndarray:
    scales = scales + 32
    low, high = _fields(scales & 15, 8, 4), _fields(scales >> 4, 4, 2)
    present = _fields((levels >= 0).astype(np.int16), 32, 1)
    return np.concatenate([present, _fields(levels & 3, 32, 2), low, high, d], axis=1)


def _pack_q4_k(
    levels: np.ndarray, scales: np.ndarray, d: np.ndarray, minimums: np.ndarray, dmin: np.ndarray
) -> np.ndarray:
    # Les 4 derniers groupes : 4 bits ici, les 2 bits hauts logés au-dessus des 4 premiers.
    both = [part[:, :4] | part[:, 4:] >> 4 << 6 for part in (scales, minimums)]
    rest = scales[:, 4:] & 15 | (minimums[:, 4:] & 15) << 4
    packed = np.concatenate([*both, rest], axis=1).astype(np.uint8)
    return np.concatenate([d, dmin, packed, _fields(levels, 32, 4)], axis=1)


def _pack_iq4_xs(levels: np.ndarray, scales: np.ndarray, d: np.ndarray) -> np.ndarray:
    scales = scales + 32
    high = np.bitwise_or.reduce(scales >> 4 << np.arange(0, 16, 2), axis=1)
    high = high.astype("<u2").view(np.uint8).reshape(-1, 2)
    ranks = np.searchsorted(IQ4_LEVELS, levels)
    return np.concatenate([d, high, _fields(scales & 15, 1, 4), _fields(ranks, 16, 4)], axis=1)


_PACKERS: dict[str, tuple[Callable, tuple[int, ...] | range, tuple[int, int]]] = {
    "Q8_0": (_pack_q8_0, range(-127, 128), (1, 1)),
    "Q3_K": (_pack_q3_k, range(-4, 4), (-32, 31)),
    "Q4_K": (_pack_q4_k, range(16), (0, 63)),
    "IQ4_XS": (_pack_iq4_xs, IQ4_LEVELS, (-32, 31)),
}
