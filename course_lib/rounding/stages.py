"""Les entrées que chaque matrice d’un étage reçoit, relevées pendant qu’il lit des textes.

Un étage de Llama a quatre entrées, dans l’ordre du calcul : celle de l’attention (requêtes, clés,
valeurs), celle de sa sortie, celle du réseau (porte et montée), celle de sa descente.
Formes : B textes, T jetons, N = B × T, D = d_model.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from course_lib.transformer.blocks import Block
from course_lib.transformer.positions import Rope


@dataclass(frozen=True)
class Stage:
    """Des matrices qui lisent la même entrée ; `norm` : la norme d’avant la sous-couche.

    `adds` : leur produit s’ajoute au flux qui traverse les étages.
    """

    layers: tuple[str, ...]
    norm: str
    adds: bool = False


STAGES = (
    Stage(
        ("self_attention.query", "self_attention.key", "self_attention.value"),
        "self_attention_norm",
    ),
    Stage(("self_attention.output",), "self_attention_norm", adds=True),
    Stage(("feed_forward.gate", "feed_forward.up"), "feed_forward_norm"),
    Stage(("feed_forward.down",), "feed_forward_norm", adds=True),
)


class _Reached(Exception):
    """L’entrée attendue est là : le reste de l’étage ne sert à rien."""


def block_inputs(
    block: Block, x: Tensor, rope: Rope, names: Iterable[str], last: str | None = None
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Les entrées (N, ·) de sous-modules de l’étage, et sa sortie (B, T, D).

    `last` : le calcul s’arrête à l’entrée de ce sous-module, et la sortie vaut None.
    """
    found: dict[str, Tensor] = {}

    def listener(name: str):
        def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            found[name] = arguments[0].flatten(0, -2)
            if name == last:
                raise _Reached

        return keep

    handles = [
        block.get_submodule(name).register_forward_pre_hook(listener(name)) for name in names
    ]
    try:
        return found, block(x, is_causal=True, rope=rope)
    except _Reached:
        return found, None
    finally:
        for handle in handles:
            handle.remove()
