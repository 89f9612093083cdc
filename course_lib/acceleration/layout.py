"""Ranger des poids comme les noyaux les lisent : étages empilés, blocs de 32 poids complétés.

Le rangement d’une projection est toujours le même tuple, vide là où il n’a rien à dire : un seul
noyau compilé suffit donc à tous.

    floats (L, N, K)      poids flottants
    codes (L, N, octets)  sur 8 bits, un octet par poids ; sur 4, un pour les poids j et j + 16
    tables (L, N, 16)     le niveau, un octet, que désigne chaque rang de 4 bits
    scales (L, N, G)      une échelle par ligne, par 32 poids ou par 16 : poids = échelle × niveau
    minimums (L, N, G)    à ajouter, ou rien
    bits                  32, 8 ou 4
    K                     largeur de la ligne, sans ce qui complète le dernier bloc

Formes : L étages, N sorties, K entrées, G groupes par ligne.
"""

from collections.abc import Sequence

import numpy as np

from course_lib.acceleration.weights import QuantizedWeight

BLOCK = 32  # poids lus d’un coup
_NO_TABLE = np.zeros(16, np.int8)
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # codes, tables, scales, minimums


def stack(stages: Sequence[Sequence]) -> tuple:
    """Le poids d’une projection : les couches d’un étage bout à bout, puis les étages empilés.

    Une couche est une matrice flottante (N, K), ou une `QuantizedLinear`. Si les groupes d’une
    seule ne se rangent pas par 16 poids, ou si les couches se mêlent, elles sont reformées.
    """
    layers = [layer for stage in stages for layer in stage]
    width = layers[0].shape[1] if isinstance(layers[0], np.ndarray) else layers[0].in_features
    empty = np.zeros((1, 1, 0), np.float32)
    if not all(_fits(layer) for layer in layers):
        floats = _join([[(_float(layer),) for layer in stage] for stage in stages])
        nothing = (np.zeros((1, 1, 0), np.uint8), _NO_TABLE.reshape(1, 1, 16), empty, empty)
        return (*floats, *nothing, 32, width)
    bits = max(layer.bits for layer in layers)
    unit = _unit([layer.weight for layer in layers])
    parts = [[layer.packed(bits, unit) for layer in stage] for stage in stages]
    if any(layer.minimums.numel() for layer in layers):
        parts = [[_with_minimums(part) for part in stage] for stage in parts]
    return (empty, *_join(parts), bits, width)


def pack_integers(weight: QuantizedWeight, bits: int, unit: int | None) -> Parts:
    """Les tableaux d’une matrice (N, K) d’entiers, sans axe d’étage.

    `bits` : 8, ou 4 si elle est sur 4. `unit` : les poids d’une échelle, 32 ou 16 ; None : une par
    ligne. K est complété jusqu’au bloc suivant : les entrées y valent 0.
    """
    n_outputs, width = weight.shape
    padding = ((0, 0), (0, -width % BLOCK))
    integers = (weight.integers() if bits == 8 else weight.ranks()).numpy().view(np.uint8)
    codes = np.pad(integers, padding) if padding[1][1] else integers  # (N, K complété)
    if bits == 4:
        halves = codes.reshape(n_outputs, -1, 2, BLOCK // 2)  # (N, blocs, deux moitiés, 16)
        codes = (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(n_outputs, -1)
    table = np.arange(16, dtype=np.int8) if weight.levels is None else weight.levels.numpy()
    tables = np.repeat(table[None], n_outputs, axis=0)
    scales, minimums = weight.scales.numpy(), weight.minimums.numpy()
    minimums = minimums if minimums.size else np.zeros((n_outputs, 0), np.float32)
    if unit is not None:
        n_units = -(-width // BLOCK) * BLOCK // unit
        repeats = n_units if scales.shape[1] == 1 else weight.group_size // unit
        scales, minimums = (_spread(part, repeats, n_units) for part in (scales, minimums))
    return tuple(map(np.ascontiguousarray, (codes, tables, scales, minimums)))


def _spread(part: np.ndarray, repeats: int, n_units: int) -> np.ndarray:
    """(N, G) → (N, n_units) : chaque nombre répété, puis des zéros."""
    spread = part.repeat(repeats, axis=1)
    return np.pad(spread, ((0, 0), (0, n_units - spread.shape[1]))) if part.size else part


def _fits(layer) -> bool:
    if isinstance(layer, np.ndarray):
        return False
    return layer.scales.shape[1] == 1 or layer.weight.group_size % 16 == 0


def _unit(weights: Sequence[QuantizedWeight]) -> int | None:
    """Combien de poids partagent une échelle dans ce que lit le noyau."""
    if all(weight.scales.shape[1] == 1 for weight in weights):
        return None
    return 16 if any(weight.group_size % 32 for weight in weights) else 32


def _float(layer) -> np.ndarray:
    return layer if isinstance(layer, np.ndarray) else layer.weight.dequantize().numpy()


def _with_minimums(part: Parts) -> Parts:
    codes, tables, scales, minimums = part
    return codes, tables, scales, minimums if minimums.size else np.zeros_like(scales)


def _join(stages: Sequence[Sequence[tuple[np.ndarray, ...]]]) -> tuple[np.ndarray, ...]:
    """Bout à bout dans un étage, puis les étages empilés ; sans copie s’il n’y a qu’une matrice."""
    if len(stages) == len(stages[0]) == 1:
        return tuple(array[None] for array in stages[0][0])
    columns = [[np.concatenate(part) for part in zip(*stage, strict=True)] for stage in stages]
    return tuple(np.stack(part) for part in zip(*columns, strict=True))
