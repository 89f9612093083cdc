"""La couche linéaire accélérée : mêmes nombres que `nn.Linear`, lus à la vitesse de la mémoire.

À peu de lignes (écrire un jeton), le temps est celui de la lecture des poids : le noyau numba sert.
À beaucoup de lignes (lire une amorce), le temps est celui du calcul : PyTorch sert, sur des poids
reformés. Ces couches lisent, elles n’apprennent pas : pour entraîner, gardez le modèle d’origine.
"""

import copy
import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.acceleration.layout import pack_integers, stack
from course_lib.acceleration.weights import QuantizedWeight, quantize_weight

MAX_KERNEL_ROWS = 8  # au-delà, le produit de matrices de PyTorch l’emporte
MAX_INTEGER_ROWS = 64  # plus haut quand PyTorch doit d’abord reformer les poids
THREADED_BYTES = 1_000_000  # en deçà, lancer un second fil coûte plus qu’il ne rapporte


@functools.cache
def find_kernels():
    """Le module des noyaux, ou None si numba n’est pas installé."""
    n_threads = torch.get_num_threads()
    try:
        import numba

        from course_lib.acceleration import kernels
    except ImportError:
        return None
    # En lançant ses fils, numba change le nombre de ceux de PyTorch, qui ont la même bibliothèque
    # (OpenMP) : un modèle que l’on voulait lire sur un fil l’était ensuite sur tous.
    numba.get_num_threads()
    torch.set_num_threads(n_threads)
    return kernels


def has_numba() -> bool:
    """Vrai si les noyaux peuvent servir ; sinon, tout se calcule avec PyTorch."""
    return find_kernels() is not None


def choose_threads(n_bytes: int, threshold: int = THREADED_BYTES) -> int:
    """Combien de fils : ceux de PyTorch s’il y a de quoi lire, un seul sinon."""
    n_threads = torch.get_num_threads()
    if n_threads == 1 or n_bytes < threshold:
        return 1
    import numba

    n_threads = min(n_threads, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(n_threads)
    return n_threads


def _run_kernel(weight: tuple, n_outputs: int, x: Tensor) -> Tensor:
    """x (…, K) → (…, N) par le noyau ; `weight` : ce que rend `layout`, pour un seul étage."""
    rows = np.ascontiguousarray(x.detach().reshape(-1, x.shape[-1]).numpy())  # (…, K) → (B, K)
    out = np.empty((len(rows), n_outputs), np.float32)
    n_threads = choose_threads(sum(array.nbytes for array in weight[:5]))
    find_kernels().project(weight, 0, rows, out, len(rows), n_threads)
    return torch.from_numpy(out).view(*x.shape[:-1], n_outputs)


def _suits_kernel(x: Tensor, most_rows: int) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and 0 < x.numel() <= most_rows * x.shape[-1]
        and not (torch.is_grad_enabled() and x.requires_grad)
        and has_numba()
    )


class AcceleratedLinear(nn.Linear):
    """`nn.Linear` qui passe par le noyau numba à peu de lignes ; mêmes paramètres, mêmes noms.

    Sortie égale à celle de `nn.Linear` à 1e-5 près en valeur relative (ordre des additions).
    Avec un gradient à garder, sans numba, ou sur un autre processeur : PyTorch, sans rien dire.
    """

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> "AcceleratedLinear":
        """La même couche, sur les mêmes poids (partagés, non copiés)."""
        layer = cls.__new__(cls)
        layer.__dict__.update(linear.__dict__)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        weight = self.weight
        learns = torch.is_grad_enabled() and weight.requires_grad
        if learns or weight.dtype != torch.float32 or not _suits_kernel(x, MAX_KERNEL_ROWS):
            return super().forward(x)
        arrays = stack([[weight.detach().contiguous().numpy()]])
        y = _run_kernel(arrays, self.out_features, x)
        return y if self.bias is None else y + self.bias


class QuantizedLinear(nn.Module):
    """Couche linéaire aux poids sur 8 ou 4 bits ; le biais et le calcul restent en fp32.

    Sortie égale à `F.linear(x, weight.dequantize(), bias)` à 1e-4 près en valeur relative.
    """

    def __init__(self, weight: QuantizedWeight, bias: Tensor | None = None):
        super().__init__()
        self.bits = weight.bits
        self.out_features, self.in_features = weight.shape
        self.register_buffer("values", weight.values)
        self.register_buffer("scales", weight.scales)
        self.register_buffer("minimums", weight.minimums)
        self.register_buffer("levels", weight.levels)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._packed: dict[tuple, tuple] = {}

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, bits: int = 8, group_size: int | None = None
    ) -> "QuantizedLinear":
        """Arrondit les poids d’une couche ; voir `quantize_weight`."""
        return cls(quantize_weight(linear.weight, bits, group_size), linear.bias)

    @property
    def weight(self) -> QuantizedWeight:
        """Les poids rangés."""
        return QuantizedWeight(self.bits, self.values, self.scales, self.minimums, self.levels)

    def packed(self, bits: int, unit: int | None) -> tuple[np.ndarray, ...]:
        """Ce que lisent les noyaux, gardé d’une fois à l’autre ; voir `layout.pack_integers`."""
        parts = (self.values, self.scales, self.minimums)
        state = (bits, unit, *((part.data_ptr(), part._version) for part in parts))
        if state not in self._packed:
            self._packed = {state: pack_integers(self.weight, bits, unit)}
        return self._packed[state]

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        if not _suits_kernel(x, MAX_INTEGER_ROWS):
            return F.linear(x, self.weight.dequantize().to(x.dtype), self.bias)
        y = _run_kernel(stack([[self]]), self.out_features, x)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """Les tailles, pour l’affichage du modèle."""
        group = self.weight.group_size
        return f"{self.in_features}, {self.out_features}, bits={self.bits}, group_size={group}"


def replace_linears(model: nn.Module, convert: Callable[[str, nn.Linear], nn.Module]) -> nn.Module:
    """Copie du modèle, chaque `nn.Linear` convertie ; les poids non touchés sont partagés.

    `convert(chemin, couche)` rend la couche à mettre à sa place.
    """
    shared = {id(p): p for p in (*model.parameters(), *model.buffers())}
    clone = copy.deepcopy(model, memo=shared).eval()
    if isinstance(clone, nn.Linear):
        return convert("", clone)
    for path, module in list(clone.named_modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, convert(f"{path}.{name}".removeprefix("."), child))
    return clone


def accelerate(model: nn.Module) -> nn.Module:
    """Le même modèle, en mode lecture, couches linéaires accélérées ; les poids sont partagés."""
    return replace_linears(model, lambda _, linear: AcceleratedLinear.from_linear(linear))


def quantize(
    model: nn.Module, bits: int = 8, group_size: int | None = None, head_bits: int | None = None
) -> nn.Module:
    """Copie du modèle, en mode lecture, aux poids des couches linéaires arrondis.

    Les embeddings restent en fp32 : on n’en lit qu’une ligne par jeton. Une tête qui leur était
    liée devient une matrice à part, sur `head_bits` bits (par défaut `bits`) : elle choisit les
    mots et supporte mal d’être écrasée. Une ligne que `group_size` ne pave pas garde une échelle.
    """

    def convert(path: str, linear: nn.Linear) -> QuantizedLinear:
        fits = group_size is None or linear.in_features % group_size == 0
        chosen = head_bits if path == "head" and head_bits is not None else bits
        return QuantizedLinear.from_linear(linear, chosen, group_size if fits else None)

    return replace_linears(model, convert)


def weight_bytes(model: nn.Module) -> int:
    """Octets de poids à lire pour écrire un jeton : les couches linéaires, têtes comprises."""
    total = 0
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            total += module.weight.n_bytes
        elif isinstance(module, nn.Linear):
            total += module.weight.numel() * module.weight.element_size()
    return total
