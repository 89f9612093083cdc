"""Compter les octets : poids, gradients, optimiseur, activations, mémoire cache.

Les poids, les gradients, l’optimiseur et la mémoire cache sont exacts. Les activations sont
estimées : ce que PyTorch garde pour le retour dépend du détail de chaque opération.
"""

from dataclasses import dataclass

from course_lib.scaling.anatomy import Stack, anatomy
from course_lib.scaling.parameters import count_by_formula

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int4": 0.5}


@dataclass(frozen=True)
class Memory:
    """Octets de chaque poste ; `activations` est une estimation."""

    weights: float
    gradients: float = 0
    optimizer: float = 0
    activations: float = 0
    kv_cache: float = 0

    @property
    def total(self) -> float:
        """Somme de tous les postes, en octets."""
        return sum(vars(self).values())


def bytes_per_number(dtype: str) -> float:
    """Octets d’un nombre ; ValueError si le format est inconnu."""
    if dtype not in BYTES:
        raise ValueError(f"Format inconnu : {dtype!r}. Choisissez parmi {', '.join(BYTES)}.")
    return BYTES[dtype]


def training_memory(
    config: object,
    *,
    batch_size: int = 1,
    context_length: int | None = None,
    dtype: str = "float32",
) -> Memory:
    """Octets d’un entraînement avec AdamW, activations gardées.

    En demi-précision, l’optimiseur garde aussi une copie en simple précision des poids
    (Micikevicius et al. 2018) : 16 octets par paramètre en tout, comme en simple précision.
    """
    size, count = bytes_per_number(dtype), count_by_formula(config)
    if size < 2:
        raise ValueError(f"dtype = {dtype!r} : on n’entraîne pas en entiers ; prenez « bfloat16 ».")
    moments = 2 * 4 * count
    copy = 4 * count if size < 4 else 0
    kept = activation_numbers(config, context_length, batch_size) * size
    return Memory(count * size, count * size, moments + copy, kept)


def inference_memory(
    config: object,
    *,
    batch_size: int = 1,
    context_length: int | None = None,
    dtype: str = "bfloat16",
    cache_dtype: str = "bfloat16",
) -> Memory:
    """Octets d’un modèle qui écrit : ses poids et sa mémoire cache pleine."""
    cache = kv_cache_bytes(config, context_length, batch_size=batch_size, dtype=cache_dtype)
    return Memory(count_by_formula(config) * bytes_per_number(dtype), kv_cache=cache)


def kv_cache_bytes(
    config: object,
    length: int | None = None,
    *,
    batch_size: int = 1,
    source_length: int | None = None,
    dtype: str = "bfloat16",
) -> float:
    """Octets de la mémoire cache : clés et valeurs de chaque étage, pour `length` positions.

    Nul pour un encodeur seul. `source_length` : positions de la source, par défaut autant.
    """
    model = anatomy(config)
    if model.decoder is None:
        return 0.0
    length = _check_sizes(length, batch_size, model.context_length)
    positions = length
    if model.decoder.cross:
        positions += length if source_length is None else source_length
    stack = model.decoder
    per_position = 2 * stack.n_layers * stack.n_kv_heads * stack.head_dim
    return batch_size * positions * per_position * bytes_per_number(dtype)


def activation_numbers(
    config: object, context_length: int | None = None, batch_size: int = 1
) -> float:
    """Nombres gardés par le retour, sans oubli (dropout) et avec une attention par morceaux.

    Par jeton et par bloc : entrée et sortie de chaque norme, requêtes, clés, valeurs et sortie de
    l’attention, intérieur du réseau ; puis les scores de sortie. Rien qui croisse comme T².
    """
    model = anatomy(config)
    length = _check_sizes(context_length, batch_size, model.context_length)
    d_model = model.stacks[-1].d_model
    head = model.vocab_size + 2 * d_model + model.head_parameters // max(model.vocab_size, 1)
    per_token = head + sum(stack.n_layers * _block_activations(stack) for stack in model.stacks)
    return batch_size * length * per_token


def _block_activations(stack: Stack) -> int:
    width, keys = stack.n_heads * stack.head_dim, stack.n_kv_heads * stack.head_dim
    norm = 2 * stack.d_model  # son entrée et sa sortie
    # Attention : sa norme, q et la sortie (2 H Dh), k et v (2 Hkv Dh).
    attention = norm + 2 * width + 2 * keys + stack.n_heads
    # Réseau : avant et après l’activation ; la porte y ajoute deux nombres.
    network = (4 if stack.gated else 2) * stack.d_ff
    if stack.n_experts:  # chaque expert recopie ses jetons et garde sa sortie
        network = stack.n_active * (network + 3 * stack.d_model) + 2 * stack.n_experts
    return (2 if stack.cross else 1) * attention + norm + network


def _check_sizes(length: int | None, batch_size: int, maximum: int) -> int:
    length = maximum if length is None else length
    if length < 1 or batch_size < 1:
        raise ValueError(
            f"Longueur {length}, batch_size {batch_size} : il faut au moins un jeton et un texte."
        )
    return length
