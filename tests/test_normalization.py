"""La normalisation du cours égale celle de PyTorch, gradients compris."""

import pytest
import torch
from torch import nn

from course_lib.transformer.normalization import RMSNorm


def pair(width: int) -> tuple[RMSNorm, nn.RMSNorm]:
    ours, theirs = RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
    weight = torch.randn(width, generator=torch.Generator().manual_seed(0))
    for norm in (ours, theirs):
        norm.weight.data = weight.clone()
    return ours, theirs


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5, 7)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_value_and_gradients_equal_torch(shape, scale):
    generator = torch.Generator().manual_seed(1)
    x = scale * torch.randn(shape, generator=generator)
    slope = torch.randn(shape, generator=generator)
    gradients = []
    for norm in pair(7):
        entry = x.clone().requires_grad_()
        output = norm(entry)
        output.backward(slope)
        gradients.append((output.detach(), entry.grad, norm.weight.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_gradient_is_the_slope_of_the_value():
    norm = RMSNorm(5).double()
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: _with_weight(norm, x, w), (x, norm.weight))


def _with_weight(norm, x, weight):
    norm.weight = nn.Parameter(weight) if not isinstance(weight, nn.Parameter) else weight
    return norm(x)


def test_a_null_vector_stays_null_and_finite():
    x = torch.zeros(2, 3, requires_grad=True)
    output = RMSNorm(3)(x)
    output.sum().backward()
    assert torch.equal(output, torch.zeros(2, 3))
    assert x.grad.isfinite().all()
