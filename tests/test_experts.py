"""Le mélange d’experts, comparé au bloc de Mixtral de transformers et à sa définition."""

import pytest
import torch

from course_lib.transformer import (
    FeedForward,
    MixtralConfig,
    MixtureOfExperts,
    SwiGLU,
    SwitchConfig,
    mixtral,
    switch_transformer,
)


def test_equals_the_mixtral_block():
    from transformers.models.mixtral import configuration_mixtral, modeling_mixtral

    sizes = {"hidden_size": 7, "intermediate_size": 11, "num_attention_heads": 1}
    theirs_config = configuration_mixtral.MixtralConfig(
        **sizes, num_key_value_heads=1, num_local_experts=5, num_experts_per_tok=3
    )
    theirs_config._experts_implementation = "eager"
    theirs = modeling_mixtral.MixtralSparseMoeBlock(theirs_config).eval()
    ours = MixtureOfExperts(7, lambda: SwiGLU(7, 11), n_experts=5, n_active=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(generator=generator)
        theirs.gate.weight.copy_(ours.router.weight)
        for i, expert in enumerate(ours.experts):
            theirs.experts.gate_up_proj[i] = torch.cat((expert.gate.weight, expert.up.weight))
            theirs.experts.down_proj[i] = expert.down.weight
        x = torch.randn(2, 13, 7, generator=generator)
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("renormalize", [True, False])
def test_all_experts_active_is_the_weighted_sum(renormalize):
    torch.manual_seed(0)
    mixture = MixtureOfExperts(5, lambda: FeedForward(5, 7), 3, 3, renormalize)
    x = torch.randn(2, 11, 5)
    weights = mixture.router(x).softmax(-1)
    expected = sum(weights[..., i, None] * e(x) for i, e in enumerate(mixture.experts))
    torch.testing.assert_close(mixture(x), expected)


def test_a_single_expert_keeps_its_probability_when_not_renormalized():
    torch.manual_seed(0)
    mixture = MixtureOfExperts(5, lambda: FeedForward(5, 7), 3, 1, renormalize=False)
    mixture(torch.randn(1, 11, 5)).sum().backward()
    assert mixture.router.weight.grad.abs().max() > 0


def test_mixtral_cache_and_causality():
    config = MixtralConfig(vocab_size=17, context_length=13, d_model=12, n_layers=2, n_heads=2)
    model = mixtral(config, seed=1).eval()
    ids = torch.arange(11)[None] % 17
    with torch.no_grad():
        full = model(ids)
        cache = model.new_cache(1)
        steps = [model(ids[:, t : t + 1], cache=cache) for t in range(11)]
    torch.testing.assert_close(torch.cat(steps, 1), full, atol=1e-5, rtol=1e-5)


def test_switch_shares_its_embeddings_and_runs():
    config = SwitchConfig(19, 13, d_model=12, n_heads=3, head_dim=5, d_ff=7, n_experts=4)
    model = switch_transformer(config, seed=1)
    assert model.decoder.head.weight is model.encoder.embedding.tokens.weight
    scores = model(torch.randint(1, 19, (2, 11)), torch.randint(1, 19, (2, 7)))
    assert scores.shape == (2, 7, 19) and scores.isfinite().all()


def test_impossible_mixtures_are_refused():
    with pytest.raises(ValueError, match="n_active = 4 pour n_experts = 3"):
        MixtureOfExperts(5, lambda: SwiGLU(5, 7), 3, 4)
    with pytest.raises(ValueError, match="1 ≤ n_active ≤ n_experts"):
        MixtralConfig(vocab_size=11, n_active=9)
    with pytest.raises(ValueError, match="d_ff = 0"):
        SwitchConfig(11, d_ff=0)
