"""Les blocs de petits entiers d’un GGUF : du fichier aux entiers, à leurs échelles, aux nombres.

Source : ggml, `gguf-py/gguf/quants.py`, dont les calculs sont repris à l’identique (mêmes bits).
Formes : n blocs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Les seize valeurs d’un q d’IQ4_XS, plus serrées près de zéro, où sont presque tous les poids.
IQ4_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


@dataclass(frozen=True)
class Levels:
    """Des nombres encore en entiers : `integers` (n, nombres du bloc), int8, un sous-bloc après
    l’autre ; `scales` et `minimums` (n, sous-blocs) : w = échelle × entier + minimum. Un minimum
    absent est None ; celui des formats en K se retranche (`subtracted`).
    """

    integers: np.ndarray
    scales: np.ndarray
    minimums: np.ndarray | None = None
    subtracted: bool = False

    def values(self) -> np.ndarray:
        """Les nombres qu’ils décrivent, (n, nombres du bloc)."""
        grouped = self.integers.reshape(*self.scales.shape, -1).astype(np.float32)
        values = self.scales[..., None] * grouped
        if self.minimums is not None:
            minimums = self.minimums[..., None]
            values = values - minimums if self.subtracted else values + minimums
        return values.reshape(self.integers.shape)


def _f16(columns: np.ndarray) -> np.ndarray:
    """Les octets (n, 2k) lus comme k nombres F16, en F32 (n, k)."""
    return np.ascontiguousarray(columns).view("<f2").astype(np.float32)


def _split(blocks: np.ndarray, *widths: int) -> list[np.ndarray]:
    """Les champs d’un bloc, chacun de `widths` octets."""
    return np.split(blocks, np.cumsum(widths)[:-1], axis=1)


def _unpack(packed: np.ndarray, width: int, bits: int) -> np.ndarray:
    """Des octets (n, k) en entiers de `bits` bits, `width` octets à la fois, bits bas d’abord."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
    grouped = packed.reshape(len(packed), -1, 1, width) >> shifts  # (n, k/width, 8/bits, width)
    return (grouped & np.uint8(2**bits - 1)).reshape(len(packed), -1)


def _read_q4_0(blocks: np.ndarray) -> Levels:
    d, packed = _split(blocks, 2, 16)
    return Levels(_unpack(packed, 16, 4).astype(np.int8) - np.int8(8), _f16(d))


def _read_q4_1(blocks: np.ndarray) -> Levels:
    d, m, packed = _split(blocks, 2, 2, 16)
    return Levels(_unpack(packed, 16, 4).astype(np.int8), _f16(d), _f16(m))


def _fifth_bits(bits: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Réunit les 4 bits de `packed` et le cinquième, bit j de `bits` pour le nombre j."""
    positions = np.arange(32, dtype=np.uint32)
    high = (np.ascontiguousarray(bits).view("<u4") >> positions & np.uint32(1)).astype(np.uint8)
    return (_unpack(packed, 16, 4) | high << np.uint8(4)).astype(np.int8)


def _read_q5_0(blocks: np.ndarray) -> Levels:
    d, bits, packed = _split(blocks, 2, 4, 16)
    return Levels(_fifth_bits(bits, packed) - np.int8(16), _f16(d))


def _read_q5_1(blocks: np.ndarray) -> Levels:
    d, m, bits, packed = _split(blocks, 2, 2, 4, 16)
    return Levels(_fifth_bits(bits, packed), _f16(d), _f16(m))


def _read_q8_0(blocks: np.ndarray) -> Levels:
    d, values = _split(blocks, 2, 32)
    return Levels(values.view(np.int8), _f16(d))


def _scales_and_minimums(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Les 8 échelles et les 8 minimums de 6 bits, rangés sur 12 octets (Q4_K, Q5_K)."""
    low_s, low_m, rest = (part[:, 0] for part in np.split(packed.reshape(-1, 3, 4), 3, axis=1))
    six, four = np.uint8(0x3F), np.uint8(0x0F)
    scales = np.concatenate([low_s & six, rest & four | low_s >> 2 & np.uint8(0x30)], axis=1)
    minimums = np.concatenate([low_m & six, rest >> 4 | low_m >> 2 & np.uint8(0x30)], axis=1)
    return scales.astype(np.float32), minimums.astype(np.float32)


def _read_q2_k(blocks: np.ndarray) -> Levels:
    packed_scales, packed, d, dmin = _split(blocks, 16, 64, 2, 2)
    minimums = _f16(dmin) * (packed_scales >> 4).astype(np.float32)
    scales = (packed_scales & np.uint8(0x0F)).astype(np.float32)
    return Levels(_unpack(packed, 32, 2).astype(np.int8), _f16(d) * scales, minimums, True)


def _read_q3_k(blocks: np.ndarray) -> Levels:
    mask, packed, packed_scales, d = _split(blocks, 32, 64, 12, 2)
    low, high = _unpack(packed_scales[:, :8], 8, 4), _unpack(packed_scales[:, 8:], 4, 2)
    scales = ((low | high << np.uint8(4)).astype(np.int8) - np.int8(32)).astype(np.float32)
    absent = _unpack(mask, 32, 1) ^ np.uint8(1)  # le troisième bit, à l’envers
    levels = _unpack(packed, 32, 2).astype(np.int8) - (absent << np.uint8(2)).astype(np.int8)
    return Levels(levels, _f16(d) * scales)


def _read_q4_k(blocks: np.ndarray) -> Levels:
    d, dmin, packed_scales, packed = _split(blocks, 2, 2, 12, 128)
    scales, minimums = _scales_and_minimums(packed_scales)
    levels = _unpack(packed, 32, 4).astype(np.int8)
    return Levels(levels, _f16(d) * scales, _f16(dmin) * minimums, True)


def _read_q5_k(blocks: np.ndarray) -> Levels:
    d, dmin, packed_scales, bits, packed = _split(blocks, 2, 2, 12, 32, 128)
    scales, minimums = _scales_and_minimums(packed_scales)
    levels = _unpack(packed, 32, 4) | _unpack(bits, 32, 1) << np.uint8(4)
    return Levels(levels.astype(np.int8), _f16(d) * scales, _f16(dmin) * minimums, True)


def _read_q6_k(blocks: np.ndarray) -> Levels:
    low, high, scales, d = _split(blocks, 128, 64, 16, 2)
    levels = _unpack(low, 64, 4) | _unpack(high, 32, 2) << np.uint8(4)
    scales = scales.view(np.int8).astype(np.float32)
    return Levels(levels.astype(np.int8) - np.int8(32), _f16(d) * scales)


def _read_iq4_xs(blocks: np.ndarray) -> Levels:
    d, high, low, packed = _split(blocks, 2, 2, 4, 128)
    low = _unpack(low, 1, 4)
    high = np.ascontiguousarray(high).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16)
    scales = (low | (high.astype(np.uint8) & np.uint8(3)) << np.uint8(4)).astype(np.int8)
    levels = np.array(IQ4_LEVELS, np.int8)[_unpack(packed, 16, 4)]
    return Levels(levels, _f16(d) * (scales - np.int8(32)).astype(np.float32))


LEVELS: dict[str, Callable[[np.ndarray], Levels]] = {
    "Q4_0": _read_q4_0,
    "Q4_1": _read_q4_1,
    "Q5_0": _read_q5_0,
    "Q5_1": _read_q5_1,
    "Q8_0": _read_q8_0,
    "Q2_K": _read_q2_k,
    "Q3_K": _read_q3_k,
    "Q4_K": _read_q4_k,
    "Q5_K": _read_q5_k,
    "Q6_K": _read_q6_k,
    "IQ4_XS": _read_iq4_xs,
}
# Les formats dont un entier tient sur 4 bits : les niveaux, du plus petit au plus grand.
SIXTEEN_LEVELS: dict[str, tuple[int, ...]] = {
    "Q2_K": tuple(range(4)),
    "Q3_K": tuple(range(-4, 4)),
    "Q4_0": tuple(range(-8, 8)),
    "Q4_1": tuple(range(16)),
    "Q4_K": tuple(range(16)),
    "IQ4_XS": IQ4_LEVELS,
}
