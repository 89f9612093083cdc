"""Les noyaux refusent un modèle qui porte un adaptateur : ils ne liraient que la base."""

import pytest
import torch

from course_lib.acceleration import check_supported
from course_lib.finetuning import (
    LoRAConfig,
    attach_lora,
    attach_prefix,
    attach_soft_prompt,
    detach_adapters,
    merge_adapter,
)
from course_lib.generation import generate
from course_lib.transformer import Decoder, LlamaConfig, llama


@pytest.fixture
def model() -> Decoder:
    return llama(LlamaConfig(vocab_size=31, context_length=37, d_model=24, n_layers=2, n_heads=3))


@pytest.mark.parametrize(
    ("attach", "reason"),
    [
        (lambda model: attach_lora(model, LoRAConfig(2)), "des adaptateurs sont posés"),
        (
            lambda model: attach_lora(model, LoRAConfig(2, targets=("head",))),
            "des adaptateurs sont",
        ),
        (lambda model: attach_prefix(model, 3), "un préfixe appris est posé"),
        (lambda model: attach_soft_prompt(model, 3), "une amorce apprise est posée"),
    ],
)
def test_adapters_are_refused(model, attach, reason):
    check_supported(model)
    attach(model)
    with pytest.raises(ValueError, match=reason):
        check_supported(model)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [("query", "value"), ("key", "head")])
@torch.no_grad()
def test_a_merged_adapter_writes_like_torch(model, targets):
    attach_lora(model, LoRAConfig(2, targets=targets))
    for layer in model.modules():
        if hasattr(layer, "b") and hasattr(layer, "a"):
            layer.b.normal_(std=0.5)
    merge_adapter(model)
    detach_adapters(model, keep_merged=True)
    texts = [
        generate(model, [[3, 5, 7]], 11, seed=1, backend=backend)[0].ids
        for backend in ("torch", "numba")
    ]
    assert texts[0] == texts[1]
