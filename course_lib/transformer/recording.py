"""Recueillir les poids d’attention qu’un modèle calcule en chemin, sans changer ce qu’il rend."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor

from course_lib.transformer.attention import Attention


@contextmanager
def recorded_weights(attention: Attention, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """À chaque passe de cette attention, donne ses poids (B, H, Tq, Tk) à `keep`.

    Plusieurs relevés de la même attention peuvent être ouverts à la fois, et l’on peut demander
    soi-même les poids (`return_weights`) : chacun reçoit les siens.
    """
    asked = False  # dans la passe en cours, est-ce nous qui avons demandé les poids ?

    def ask(module, args, kwargs):
        nonlocal asked
        asked = not kwargs.get("return_weights", False)
        return args, {**kwargs, "return_weights": True}

    def take(module, args, output):
        keep(output[1])
        return output[0] if asked else output  # un autre les attend encore

    with ExitStack() as hooks:
        hooks.enter_context(attention.register_forward_pre_hook(ask, with_kwargs=True))
        # En tête : le dernier relevé ouvert se sert d’abord, celui qui a demandé les retire enfin.
        hooks.enter_context(attention.register_forward_hook(take, prepend=True))
        yield
