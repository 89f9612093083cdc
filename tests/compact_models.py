"""De petits GGUF aux poids en blocs : des poids tirés, arrondis au plus près, format par format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize as reference
from gguf.quants import quantize as standard

from course_lib.pretrained import save_gguf
from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama

KINDS = ("F32", "F16", "Q8_0", "Q3_K", "Q4_K", "Q6_K", "IQ4_XS")
_TABLE = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype("<f2").view(np.uint8)


def _ratio(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return np.round(np.divide(values, steps, out=np.zeros_like(values), where=steps != 0))


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    """(n, 16, 16) → (n, 210)"""
    steps = np.abs(blocks).max(2) / 31
    d = (steps.max(1, keepdims=True) / 127).astype("<f2").astype(np.float32)
    scales = _ratio(steps, d + 0 * steps).clip(-127, 127)
    q = (_ratio(blocks, (d * scales)[..., None] + 0 * blocks).clip(-32, 31) + 32).astype(np.uint8)
    q = q.reshape(-1, 2, 4, 32)
    low = (q[:, :, :2] & 15) | (q[:, :, 2:] & 15) << 4
    high = q[:, :, 0] >> 4 | q[:, :, 1] >> 4 << 2 | q[:, :, 2] >> 4 << 4 | q[:, :, 3] >> 4 << 6
    parts = [low.reshape(-1, 128), high.reshape(-1, 64), scales.astype(np.int8).view(np.uint8)]
    return np.concatenate([*parts, _half(d)], axis=1)


def _q3_k(blocks: np.ndarray) -> np.ndarray:
    """(n, 16, 16) → (n, 110)"""
    steps = np.abs(blocks).max(2) / 3.5
    d = (steps.max(1, keepdims=True) / 31).astype("<f2").astype(np.float32)
    scales = _ratio(steps, d + 0 * steps).clip(-32, 31)
    q = (_ratio(blocks, (d * scales)[..., None] + 0 * blocks).clip(-4, 3) + 4).astype(np.uint8)
    q, s = q.reshape(-1, 8, 32), (scales + 32).astype(np.uint8)
    mask = sum((q[:, bit] >> 2) << bit for bit in range(8))
    q = q.reshape(-1, 2, 4, 32) & 3
    low = sum(q[:, :, pair] << 2 * pair for pair in range(4)).reshape(-1, 64)
    packed = (s[:, :8] & 15) | (s[:, 8:] & 15) << 4
    top = sum((s[:, 4 * i : 4 * i + 4] >> 4) << 2 * i for i in range(4))
    return np.concatenate([mask, low, packed, top, _half(d)], axis=1).astype(np.uint8)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    """(n, 8, 32) → (n, 144)"""
    lows = np.minimum(blocks.min(2), 0)
    steps = (blocks.max(2) - lows) / 15
    d, dmin = (
        (v.max(1, keepdims=True) / 63).astype("<f2").astype(np.float32) for v in (steps, -lows)
    )
    s, m = (_ratio(v, one + 0 * v).clip(0, 63) for v, one in ((steps, d), (-lows, dmin)))
    shifted = blocks + (dmin * m)[..., None]
    q = _ratio(shifted, (d * s)[..., None] + 0 * blocks).clip(0, 15).astype(np.uint8)
    q, s, m = q.reshape(-1, 4, 2, 32), s.astype(np.uint8), m.astype(np.uint8)
    low = (q[:, :, 0] | q[:, :, 1] << 4).reshape(-1, 128)
    packed = [s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6]
    packed.append((s[:, 4:] & 15) | (m[:, 4:] & 15) << 4)
    return np.concatenate([_half(d), _half(dmin), *packed, low], axis=1).astype(np.uint8)


def _iq4_xs(blocks: np.ndarray) -> np.ndarray:
    """(n, 8, 32) → (n, 136)"""
    steps = np.abs(blocks).max(2) / 120
    d = (steps.max(1, keepdims=True) / 31).astype("<f2").astype(np.float32)
    scales = _ratio(steps, d + 0 * steps).clip(-32, 31)
    levels = np.divide(
        blocks, (d * scales)[..., None], out=0 * blocks, where=scales[..., None] != 0
    )
    q = np.abs(levels[..., None] - np.float32(_TABLE)).argmin(-1).astype(np.uint8)
    s = (scales + 32).astype(np.uint8)
    top = sum((s[:, g].astype("<u2") >> 4) << 2 * g for g in range(8)).astype("<u2")
    low = (s[:, ::2] & 15) | (s[:, 1::2] & 15) << 4
    packed = (q[:, :, :16] | q[:, :, 16:] << 4).reshape(-1, 128)
    return np.concatenate([_half(d), top[:, None].view(np.uint8), low, packed], axis=1)


_SUPER: dict[str, tuple[Callable, int]] = {
    "Q3_K": (_q3_k, 16),
    "Q4_K": (_q4_k, 8),
    "Q6_K": (_q6_k, 16),
    "IQ4_XS": (_iq4_xs, 8),
}
# De chaque super-bloc, les octets de ses échelles F16.
HALVES = {
    "Q3_K": slice(108, 110),
    "Q4_K": slice(0, 4),
    "Q6_K": slice(208, 210),
    "IQ4_XS": slice(0, 2),
}


def rounded(kind: str, array: np.ndarray) -> np.ndarray:
    """Les octets d’un tableau, une ligne de blocs par ligne, arrondi au plus près."""
    if kind not in _SUPER:
        return standard(array, GGMLQuantizationType[kind])
    write, groups = _SUPER[kind]
    return write(array.reshape(-1, groups, 256 // groups)).reshape(*array.shape[:-1], -1)


def random_blocks(kind: str, rows: int, columns: int, seed: int) -> np.ndarray:
    """Des blocs aux octets quelconques, sinon des échelles finies ; (rows, octets)."""
    rng = np.random.default_rng(seed)
    raw = rounded(kind, rng.standard_normal((rows, columns)).astype(np.float32))
    if kind not in _SUPER:
        return raw.view(np.uint8).reshape(rows, -1)
    blocks = raw.reshape(-1, GGML_QUANT_SIZES[GGMLQuantizationType[kind]][1])
    noise = rng.integers(0, 256, blocks.shape, dtype=np.uint8)
    noise[:, HALVES[kind]] = blocks[:, HALVES[kind]]
    return noise.reshape(rows, -1)


def code_of(kind: str) -> int:
    """Le code de ce format dans un GGUF."""
    return int(GGMLQuantizationType[kind])


def values_of(kind: str, raw: np.ndarray) -> np.ndarray:
    """Ces octets en nombres, selon le paquet `gguf`."""
    return reference(raw, GGMLQuantizationType[kind])


def convert(source: Path, target: Path, choose: Callable[[str], str]) -> None:
    """Récrit un GGUF, chaque matrice au format que `choose(nom)` rend."""
    with GGUFFile(source) as file:
        writer = GGUFWriter(str(target), file.metadata["general.architecture"])
        _copy_settings(writer, file.metadata)
        for name, info in file.tensors.items():
            array, kind = file.tensor(name), choose(name) if len(info.shape) > 1 else "F32"
            raw = rounded(kind, array)
            writer.add_tensor(name, raw, raw_dtype=GGMLQuantizationType[kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _copy_settings(writer: GGUFWriter, metadata: dict) -> None:
    for key, value in metadata.items():
        if key == "general.architecture":
            continue
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)


def small_model(folder: Path, corpus: list[str], kv_heads: int = 2, tied: bool = True) -> Path:
    """Le GGUF (F32) d’un petit modèle aux poids tirés, dont les lignes font des super-blocs."""
    tokenizer = BPETokenizer.train(corpus, vocab_size=600)
    config = LlamaConfig(tokenizer.vocab_size, 90, 256, 2, 4, kv_heads, d_ff=512, tie_weights=tied)
    model = llama(config, seed=7)
    with torch.no_grad():  # des scores bien séparés, comme après un apprentissage
        model.embedding.tokens.weight.mul_(8)
    path = folder / f"petit-{kv_heads}-{tied}.gguf"
    save_gguf(model, tokenizer, path, kind="F32")
    return path
