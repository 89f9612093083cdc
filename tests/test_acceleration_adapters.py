"""Les noyaux refusent un modèle qui porte un adaptateur : ils ne liraient que la base."""

import pytest

from course_lib.acceleration import check_supported
from course_lib.finetuning import (
    LoRAConfig,
    attach_lora,
    attach_soft_prompt,
)
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
        (lambda model: attach_soft_prompt(model, 3), "une amorce apprise est posée"),
    ],
)
def test_adapters_are_refused(model, attach, reason):
    check_supported(model)
    attach(model)
    with pytest.raises(ValueError, match=reason):
        check_supported(model)


def test_another_attention_is_refused(model):
    class Other(type(model.blocks[0].self_attention)):
        """Une attention que le noyau ne connaît pas."""

    model.blocks[1].self_attention.__class__ = Other
    with pytest.raises(ValueError, match="une de ses attentions n’est pas celle du cours"):
        check_supported(model)
