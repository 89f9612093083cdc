"""Les noyaux refusent un adaptateur ou des normes de tête : ils ne les liraient pas."""

from dataclasses import replace

import pytest

from course_lib.acceleration import NumbaReader, check_supported
from course_lib.finetuning import (
    LoRAConfig,
    attach_lora,
    attach_soft_prompt,
)
from course_lib.generation import generate
from course_lib.transformer import Decoder, LlamaConfig, llama
from course_lib.transformer.recognition import config_of


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


def test_head_norms_are_refused(model):
    """CachedReader, vers qui le message renvoie, sait écrire avec ce modèle."""
    normed = llama(replace(config_of(model), qk_norm=True)).eval()
    with pytest.raises(ValueError, match=r"qk_norm.* prenez reader=CachedReader"):
        check_supported(normed)
    with pytest.raises(ValueError, match="qk_norm"):
        generate(normed, [[3, 5]], 2, reader=NumbaReader)
    assert len(generate(normed, [[3, 5]], 2)[0].ids) == 2


def test_another_attention_is_refused(model):
    class Other(type(model.blocks[0].self_attention)):
        """Une attention que le noyau ne connaît pas."""

    model.blocks[1].self_attention.__class__ = Other
    with pytest.raises(ValueError, match="une de ses attentions n’est pas celle du cours"):
        check_supported(model)
