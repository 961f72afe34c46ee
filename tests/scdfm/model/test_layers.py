"""Facts of the small parts."""

import torch
from torch.nn import functional

from scdfm.model.layers import FeedForward


def test_a_gelu_computed_twice_gives_the_gradients_of_one_that_is_kept() -> None:
    torch.manual_seed(0)
    mlp = FeedForward(6, dropout=0.0).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    inputs = [x, *mlp.parameters()]
    plain = mlp.out(functional.gelu(mlp.hidden(x), approximate="tanh"))
    slope = torch.randn_like(plain)
    ours = torch.autograd.grad(mlp(x), inputs, slope)
    torch.testing.assert_close(ours, torch.autograd.grad(plain, inputs, slope))


def test_the_activation_after_a_gelu_is_not_kept() -> None:
    mlp = FeedForward(6, dropout=0.0)
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        mlp(torch.randn(2, 3, 6))
    assert kept.count(torch.Size([2, 3, 24])) == 1
