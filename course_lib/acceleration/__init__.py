"""Écrire plus vite : des poids plus légers, des noyaux qui les lisent au débit de la mémoire.

Pour écrire un seul jeton, il faut lire tous les poids une fois ; le calcul est presque gratuit.
Deux remèdes, qui se choisissent : lire mieux (`accelerate`, noyaux numba) et lire moins
(`quantize`, poids sur 8 ou 4 bits ; `load_rounded`, ceux d’un fichier qui l’est déjà). Sans numba,
tout se calcule encore, avec PyTorch.
"""

from course_lib.acceleration.decoder import NumbaReader, check_supported
from course_lib.acceleration.linear import (
    AcceleratedLinear,
    QuantizedLinear,
    accelerate,
    has_numba,
    quantize,
    weight_bytes,
)
from course_lib.acceleration.rounded import load_rounded
from course_lib.acceleration.weights import QuantizedWeight, quantize_weight

__all__ = [
    "AcceleratedLinear",
    "NumbaReader",
    "QuantizedLinear",
    "QuantizedWeight",
    "accelerate",
    "check_supported",
    "has_numba",
    "load_rounded",
    "quantize",
    "quantize_weight",
    "weight_bytes",
]
