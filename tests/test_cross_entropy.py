"""L’entropie croisée du cours égale celle de PyTorch, gradient compris."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.training.cross_entropy import mean_cross_entropy


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_value_and_gradient_equal_torch(scale):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(13, 7, generator=generator)
    targets = torch.randint(7, (13,), generator=generator)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss, reference = mean_cross_entropy(ours, targets), F.cross_entropy(theirs, targets)
    torch.testing.assert_close(loss, reference, atol=1e-5, rtol=1e-5)
    (3 * loss).backward()
    (3 * reference).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)


def test_gradient_is_the_slope_of_the_value():
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 2, 1, 1, 2])
    assert torch.autograd.gradcheck(
        lambda z: mean_cross_entropy(z, targets), logits.requires_grad_()
    )


def test_backward_twice_gives_the_same_gradient():
    logits = torch.randn(3, 5, requires_grad=True)
    loss = mean_cross_entropy(logits, torch.tensor([4, 0, 2]))
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (second,) = torch.autograd.grad(loss, logits)
    assert torch.equal(first, second)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="Aucune cible"):
        mean_cross_entropy(torch.empty(0, 5), torch.empty(0, dtype=torch.long))
