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

from course_lib.acceleration.weights import QuantizedWeight, quantize_weight

MAX_KERNEL_ROWS = 8  # au-delà, le produit de matrices de PyTorch l’emporte
THREADED_BYTES = 1_000_000  # en deçà, lancer un second fil coûte plus qu’il ne rapporte


@functools.cache
def find_kernels():
    """Le module des noyaux, ou None si numba n’est pas installé."""
    try:
        from course_lib.acceleration import kernels
    except ImportError:
        return None
    return kernels


def has_numba() -> bool:
    """Vrai si les noyaux peuvent servir ; sinon, tout se calcule avec PyTorch."""
    return find_kernels() is not None


def choose_form(forms, n_bytes: int, threshold: int = THREADED_BYTES):
    """La forme d’un noyau : plusieurs fils si PyTorch en a plusieurs et s’il y a de quoi lire."""
    n_threads = torch.get_num_threads()
    if n_threads == 1 or n_bytes < threshold:
        return forms.serial
    import numba

    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    return forms.threaded


def _run_kernel(kind: str, arrays: tuple[np.ndarray, ...], n_outputs: int, x: Tensor) -> Tensor:
    """x (…, K) → (…, N) par le noyau `kind` ; les tableaux ont leur axe d’étage, de longueur 1."""
    rows = np.ascontiguousarray(x.detach().reshape(-1, x.shape[-1]).numpy())  # (…, K) → (B, K)
    out = np.empty((len(rows), n_outputs), np.float32)
    form = choose_form(find_kernels().PROJECTIONS[kind], sum(array.nbytes for array in arrays))
    form(arrays, 0, rows, out, len(rows))
    return torch.from_numpy(out).view(*x.shape[:-1], n_outputs)


def _suits_kernel(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and 0 < x.numel() <= MAX_KERNEL_ROWS * x.shape[-1]
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
        if learns or weight.dtype != torch.float32 or not _suits_kernel(x):
            return super().forward(x)
        arrays = (weight.detach().contiguous().numpy()[None],)
        y = _run_kernel("float", arrays, self.out_features, x)
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
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, bits: int = 8, group_size: int | None = None
    ) -> "QuantizedLinear":
        """Arrondit les poids d’une couche ; voir `quantize_weight`."""
        return cls(quantize_weight(linear.weight, bits, group_size), linear.bias)

    @property
    def weight(self) -> QuantizedWeight:
        """Les poids rangés."""
        return QuantizedWeight(self.bits, self.values, self.scales, self.minimums)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Les tableaux que le noyau lit, sans copie et sans axe d’étage."""
        return tuple(part.numpy() for part in (self.values, self.scales, self.minimums))

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        if not _suits_kernel(x):
            return F.linear(x, self.weight.dequantize().to(x.dtype), self.bias)
        arrays = tuple(array[None] for array in self.arrays())
        y = _run_kernel(f"int{self.bits}", arrays, self.out_features, x)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """Les tailles, pour l’affichage du modèle."""
        group = self.weight.group_size
        return f"{self.in_features}, {self.out_features}, bits={self.bits}, group_size={group}"


def _replace_linears(model: nn.Module, convert: Callable[[str, nn.Linear], nn.Module]) -> nn.Module:
    """Copie du modèle, chaque `nn.Linear` convertie ; les poids non touchés sont partagés."""
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
    return _replace_linears(model, lambda _, linear: AcceleratedLinear.from_linear(linear))


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

    return _replace_linears(model, convert)


def weight_bytes(model: nn.Module) -> int:
    """Octets de poids à lire pour écrire un jeton : les couches linéaires, têtes comprises."""
    total = 0
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            total += module.weight.n_bytes
        elif isinstance(module, nn.Linear):
            total += module.weight.numel() * module.weight.element_size()
    return total
