"""Bâtir un modèle sur l’appareil « meta » de PyTorch : toutes ses formes, aucun nombre."""

import gc

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from course_lib.transformer.architectures import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    OriginalTransformerConfig,
    bert,
    gpt2,
    llama,
    original_transformer,
)
from course_lib.transformer.mixtral import (
    MixtralConfig,
    SwitchConfig,
    mixtral,
    switch_transformer,
)

BUILDERS = {
    MixtralConfig: mixtral,
    LlamaConfig: llama,
    GPT2Config: gpt2,
    BertConfig: bert,
    OriginalTransformerConfig: original_transformer,
    SwitchConfig: switch_transformer,
}


def build_on_meta(config: object) -> nn.Module:
    """Bâtit le modèle sans allouer un seul nombre, si grand soit-il. TypeError si inconnu."""
    builder = BUILDERS.get(type(config))
    if builder is None:
        known = ", ".join(sorted(kind.__name__ for kind in BUILDERS))
        raise TypeError(
            f"{type(config).__name__} n’est pas une architecture connue : donnez une configuration "
            f"de course_lib.transformer ({known})."
        )
    # Bâtir cent mille experts sans que Python cherche à chaque instant des objets à jeter.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with torch.device("meta"), _NoDraws():
            return builder(config)
    finally:
        if collecting:
            gc.enable()


class _NoDraws(TorchFunctionMode):
    """Saute les tirages : sans mémoire, il n’y a rien à tirer."""

    SKIPPED = frozenset(
        {
            nn.init.kaiming_uniform_,
            nn.init.uniform_,
            nn.init.normal_,
            torch.Tensor.uniform_,
            torch.Tensor.normal_,
            torch.Tensor.fill_,
            torch.Tensor.zero_,
        }
    )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.SKIPPED:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)
