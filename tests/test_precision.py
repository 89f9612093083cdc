"""Demi-précision : des modèles entiers aussi justes que ceux de `transformers` du même type."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pretrained_references import FIRST_WORD, REFERENCES, VOCAB, reference, save_reference
from torch import nn
from torch.testing import assert_close

from course_lib.distillation import SoftTargetLoss
from course_lib.pretrained import load_pretrained
from course_lib.pruning import head_importance
from course_lib.training import (
    SequenceBatches,
    TrainingConfig,
    build_optimizer,
    evaluate_loss,
    language_model_loss,
    train,
)
from course_lib.training.cross_entropy import mean_cross_entropy
from course_lib.transformer import (
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
    llama,
    mixtral,
    original_transformer,
    scaled_dot_product,
    switch_transformer,
)
from course_lib.transformer.normalization import RMSNorm
from course_lib.transformer.positions import RotaryPositions, SinusoidalPositions

HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["f16", "bf16"])
IDS = torch.randint(FIRST_WORD, VOCAB, (16, 13), generator=torch.Generator().manual_seed(0))
DATA = SequenceBatches([[3, 5, 7], [11, 13, 2, 4], [5]], 2)
SHAPE = LlamaConfig(53, 31, 24, 2, 2)


def spread(output, exact):
    """L’écart quadratique moyen aux nombres exacts."""
    return (output.double() - exact.double()).square().mean().sqrt().item()


@HALVES
@pytest.mark.parametrize("name", REFERENCES)
@torch.no_grad()
def test_as_close_as_transformers(name, dtype, tmp_path):
    theirs = reference(name)
    model = load_pretrained(save_reference(theirs, name, tmp_path)).model
    exact, ours = model(IDS), model.to(dtype)(IDS)
    output = theirs.to(dtype)(IDS)
    output = output.logits if hasattr(output, "logits") else output.last_hidden_state
    assert ours.dtype == output.dtype == dtype and ours.isfinite().all()
    assert 0 < spread(ours, exact) < 1.3 * spread(output, exact)


@HALVES
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_rms_norm_sums_in_single_precision(dtype, scale):
    """À 300, la somme de 512 carrés vaut 46 millions : un float16 s’arrête à 65 504."""
    x = scale * torch.randn(7, 512, generator=torch.Generator().manual_seed(1))
    slope = torch.randn(7, 512, generator=torch.Generator().manual_seed(2)).to(dtype)
    norm = RMSNorm(512)
    norm.weight.data = torch.rand(512, generator=torch.Generator().manual_seed(3)) + 0.5
    results = []
    for layer, entry in ((norm.to(dtype), x.to(dtype)), (copy.deepcopy(norm).float(), x.to(dtype))):
        entry = entry.to(layer.weight.dtype).requires_grad_()
        output = layer(entry)
        output.backward(slope.to(output.dtype))
        assert output.dtype == entry.dtype == entry.grad.dtype == layer.weight.grad.dtype
        results.append((output, entry.grad, layer.weight.grad))
    for ours, exact in zip(*results, strict=True):
        assert_close(ours, exact.to(dtype), atol=0, rtol=2 * torch.finfo(dtype).eps)


def test_single_precision_is_untouched():
    """Ce qui suit est, au bit près, la formule écrite sans conversion."""
    x = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    square = torch.linalg.vecdot(x, x).div(7).add(1e-5).rsqrt()
    assert torch.equal(RMSNorm(7)(x), x * square[..., None])


@HALVES
def test_written_attention_does_not_overflow(dtype):
    q, k, v = (
        100 * torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(i)).to(dtype)
        for i in range(3)
    )
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    mask[0] = False  # une requête qui n’a rien à lire
    output, weights = scaled_dot_product(q, k, v, mask)
    exact, _ = scaled_dot_product(q.float(), k.float(), v.float(), mask)
    assert output.dtype == weights.dtype == dtype and not output[:, :, 0].any()
    assert_close(output, exact.to(dtype), atol=0, rtol=2 * torch.finfo(dtype).eps)


@HALVES
def test_positions_stay_exact(dtype):
    for table in (RotaryPositions(31, 8), SinusoidalPositions(31, 8)):
        before = [buffer.clone() for buffer in table.buffers()]
        for after, expected in zip(table.to(dtype).buffers(), before, strict=True):
            assert torch.equal(after, expected)
        assert all(b.dtype == torch.float64 for b in table.double().buffers())


@HALVES
def test_cross_entropy_is_that_of_single_precision(dtype):
    logits = 30 * torch.randn(700, 11, generator=torch.Generator().manual_seed(0))
    ours = logits.to(dtype).requires_grad_()
    theirs = ours.detach().float().requires_grad_()
    targets = torch.arange(700) % 11
    loss, exact = mean_cross_entropy(ours, targets), F.cross_entropy(theirs, targets)
    assert loss.dtype == torch.float32
    assert_close(loss, exact)
    (700 * loss).backward()
    (700 * exact).backward()
    assert ours.grad.dtype == dtype
    assert_close(ours.grad.float(), theirs.grad, atol=1e-3, rtol=2 * torch.finfo(dtype).eps)


BUILDERS = {
    "llama": lambda: llama(SHAPE),
    "mixtral": lambda: mixtral(MixtralConfig(53, 31, 24, 2, 2, n_experts=3)),
    "2017": lambda: original_transformer(
        OriginalTransformerConfig(53, 53, 31, 24, 2, 2, 2, 37, dropout=0.0)
    ),
    "switch": lambda: switch_transformer(SwitchConfig(53, 31, 24, 1, 1, 2, 12, 37)),
}


@HALVES
@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_every_architecture_runs_and_learns(build, dtype):
    model, (ids, _) = build().to(dtype), DATA.batch(0)
    logits = model(ids, ids) if hasattr(model, "encoder") else model(ids)
    assert logits.dtype == dtype and logits.isfinite().all()
    logits.float().square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@HALVES
def test_reading_tools_follow_the_type_of_the_model(dtype):
    exact, teacher = llama(SHAPE, 0), llama(SHAPE, 1)
    model, loose = copy.deepcopy(exact).to(dtype), 20 * torch.finfo(dtype).eps
    assert evaluate_loss(model, DATA) == pytest.approx(evaluate_loss(exact, DATA), rel=loose)
    assert model.new_cache(2).blocks[0].self_attention.keys.dtype == dtype
    batch = DATA.batch(0)
    importance, expected = (head_importance(m, [batch]) for m in (model, exact))
    assert_close(importance, expected, atol=loose, rtol=loose)
    loss = SoftTargetLoss(teacher.to(dtype), 0.5)
    assert loss(model, batch)[0].item() == pytest.approx(
        SoftTargetLoss(teacher.float(), 0.5)(exact, batch)[0].item(), rel=loose
    )


def test_bfloat16_learns_and_float16_is_refused():
    model = llama(SHAPE, 0).to(torch.bfloat16)
    before = evaluate_loss(model, DATA)
    train(model, DATA, TrainingConfig(20, 1e-2, n_threads=1), progress=False)
    assert evaluate_loss(model, DATA) < 0.8 * before
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    with pytest.raises(ValueError, match=r"float16 .*\(model\.float\(\)\)"):
        build_optimizer(nn.Linear(3, 3).half(), TrainingConfig(1))
    assert language_model_loss(model, DATA.batch(0))[0].dtype == torch.float32
