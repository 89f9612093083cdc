"""Compiler les blocs d’un modèle le temps de son entraînement.

Bloc par bloc : ils ont tous la même forme, PyTorch n’en traduit qu’un, et les noms des poids ne
changent pas. Ce qui se lit entre deux pas (une évaluation, un texte que l’on écrit) garde le code
d’origine : ses longueurs varient, et chacune se compilerait.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from course_lib.transformer.blocks import Block


@contextmanager
def compiled_blocks(model: nn.Module) -> Iterator[None]:
    """Le temps d’un bloc `with`, les blocs de Transformer du modèle sont compilés.

    ValueError s’il n’en a pas.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if not blocks:
        raise ValueError(
            f"compile = True : {type(model).__name__} n’a aucun bloc de Transformer à compiler. "
            "Laissez compile à False."
        )
    for block in blocks:
        block.compile()
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None  # ce que `compile` a posé


def uncompiled(compiled: bool) -> AbstractContextManager:
    """Contexte où ce qui est compilé s’exécute sans l’être ; sans effet si rien ne l’est."""
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
