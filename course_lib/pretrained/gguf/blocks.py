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

SUPER_BLOCK = 256
LARGEST_F16 = 65504.0
# Les seize valeurs d’un q d’IQ4_XS, plus serrées près de zéro, où sont presque tous les poids.
IQ4_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


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
    block = find_block(kind)
    n_values = int(np.prod(shape, dtype=object))
    if n_values % block.n_values or raw.size != n_values // block.n_values * block.n_bytes:
        raise ValueError(
            f"{raw.size} octets pour un tenseur {kind} de forme {tuple(shape)} : il faut des blocs "
            f"de {block.n_values} nombres sur {block.n_bytes} octets."
        )
    blocks = np.ascontiguousarray(raw).reshape(-1, block.n_bytes)  # (octets,) → (n, octets du bloc)
    with np.errstate(over="ignore", invalid="ignore"):  # un fichier abîmé rend des infinis : à voir
        return _READERS[kind](blocks).reshape(shape)  # (n, nombres du bloc) → shape


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


def _read_float(dtype: str) -> Callable:
    def read(blocks: np.ndarray) -> np.ndarray:
        return blocks.view(dtype).astype(np.float32)

    return read


def _read_bf16(blocks: np.ndarray) -> np.ndarray:
    """Un BF16 est la moitié haute d’un F32."""
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _read_q4_0(blocks: np.ndarray) -> np.ndarray:
    d, packed = _split(blocks, 2, 16)
    return _f16(d) * (_unpack(packed, 16, 4).astype(np.int8) - np.int8(8)).astype(np.float32)


def _read_q4_1(blocks: np.ndarray) -> np.ndarray:
    d, m, packed = _split(blocks, 2, 2, 16)
    return _f16(d) * _unpack(packed, 16, 4).astype(np.float32) + _f16(m)


def _fifth_bits(bits: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Réunit les 4 bits de `packed` et le cinquième, bit j de `bits` pour le nombre j."""
    positions = np.arange(32, dtype=np.uint32)
    high = (np.ascontiguousarray(bits).view("<u4") >> positions & np.uint32(1)).astype(np.uint8)
    return _unpack(packed, 16, 4) | high << np.uint8(4)


def _read_q5_0(blocks: np.ndarray) -> np.ndarray:
    d, bits, packed = _split(blocks, 2, 4, 16)
    return _f16(d) * (_fifth_bits(bits, packed).astype(np.int8) - np.int8(16)).astype(np.float32)


def _read_q5_1(blocks: np.ndarray) -> np.ndarray:
    d, m, bits, packed = _split(blocks, 2, 2, 4, 16)
    return _f16(d) * _fifth_bits(bits, packed).astype(np.float32) + _f16(m)


def _read_q8_0(blocks: np.ndarray) -> np.ndarray:
    d, values = _split(blocks, 2, 32)
    return values.view(np.int8).astype(np.float32) * _f16(d)


def _scales_and_minimums(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Les 8 échelles et les 8 minimums de 6 bits, rangés sur 12 octets (Q4_K, Q5_K)."""
    low_s, low_m, rest = (part[:, 0] for part in np.split(packed.reshape(-1, 3, 4), 3, axis=1))
    six, four = np.uint8(0x3F), np.uint8(0x0F)
    scales = np.concatenate([low_s & six, rest & four | low_s >> 2 & np.uint8(0x30)], axis=1)
    minimums = np.concatenate([low_m & six, rest >> 4 | low_m >> 2 & np.uint8(0x30)], axis=1)
    return scales.astype(np.float32), minimums.astype(np.float32)


def _scale_groups(
    d: np.ndarray, scales: np.ndarray, levels: np.ndarray, shift: np.ndarray | None = None
) -> np.ndarray:
    """w = d·s·q − shift, sous-bloc par sous-bloc : scales (n, s), levels (n, 256)."""
    grouped = levels.reshape(len(levels), scales.shape[1], -1).astype(np.float32)
    values = (d * scales)[..., None] * grouped  # (n, s, 256/s)
    return values if shift is None else values - shift[..., None]


def _read_q2_k(blocks: np.ndarray) -> np.ndarray:
    packed_scales, packed, d, dmin = _split(blocks, 16, 64, 2, 2)
    shift = _f16(dmin) * (packed_scales >> 4).astype(np.float32)
    scales = (packed_scales & np.uint8(0x0F)).astype(np.float32)
    return _scale_groups(_f16(d), scales, _unpack(packed, 32, 2), shift)


def _read_q3_k(blocks: np.ndarray) -> np.ndarray:
    mask, packed, packed_scales, d = _split(blocks, 32, 64, 12, 2)
    low, high = _unpack(packed_scales[:, :8], 8, 4), _unpack(packed_scales[:, 8:], 4, 2)
    scales = ((low | high << np.uint8(4)).astype(np.int8) - np.int8(32)).astype(np.float32)
    absent = _unpack(mask, 32, 1) ^ np.uint8(1)  # le troisième bit, à l’envers
    levels = _unpack(packed, 32, 2).astype(np.int8) - (absent << np.uint8(2)).astype(np.int8)
    return _scale_groups(_f16(d), scales, levels)


def _read_q4_k(blocks: np.ndarray) -> np.ndarray:
    d, dmin, packed_scales, packed = _split(blocks, 2, 2, 12, 128)
    scales, minimums = _scales_and_minimums(packed_scales)
    return _scale_groups(_f16(d), scales, _unpack(packed, 32, 4), _f16(dmin) * minimums)


def _read_q5_k(blocks: np.ndarray) -> np.ndarray:
    d, dmin, packed_scales, bits, packed = _split(blocks, 2, 2, 12, 32, 128)
    scales, minimums = _scales_and_minimums(packed_scales)
    levels = _unpack(packed, 32, 4) | _unpack(bits, 32, 1) << np.uint8(4)
    return _scale_groups(_f16(d), scales, levels, _f16(dmin) * minimums)


def _read_q6_k(blocks: np.ndarray) -> np.ndarray:
    low, high, scales, d = _split(blocks, 128, 64, 16, 2)
    levels = _unpack(low, 64, 4) | _unpack(high, 32, 2) << np.uint8(4)
    levels = levels.astype(np.int8) - np.int8(32)
    return _scale_groups(_f16(d), scales.view(np.int8).astype(np.float32), levels)


def _read_iq4_xs(blocks: np.ndarray) -> np.ndarray:
    d, high, low, packed = _split(blocks, 2, 2, 4, 128)
    low = _unpack(low, 1, 4)
    high = np.ascontiguousarray(high).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16)
    scales = (low | (high.astype(np.uint8) & np.uint8(3)) << np.uint8(4)).astype(np.int8)
    levels = np.array(IQ4_LEVELS, np.int8)[_unpack(packed, 16, 4)]
    return _scale_groups(_f16(d), (scales - np.int8(32)).astype(np.float32), levels)


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


_READERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "F32": _read_float("<f4"),
    "F16": _read_float("<f2"),
    "F64": _read_float("<f8"),
    "BF16": _read_bf16,
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
_WRITERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "F32": lambda blocks: blocks.astype("<f4").view(np.uint8),
    "F16": lambda blocks: blocks.astype("<f2").view(np.uint8),
    "Q8_0": _write_q8_0,
}
