"""GELU is torch's, and writes over its input only where no gradient needs that."""

import torch
import torch.nn.functional as F

from vitdense.layers.gelu import GELU, gelu


def test_with_gradients_the_input_stays():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gelu, (x,))
    frozen = x.detach()
    before = frozen.clone()
    assert torch.equal(gelu(frozen), F.gelu(before))
    assert torch.equal(frozen, before)


@torch.no_grad()
def test_without_gradients_it_is_in_place():
    x = torch.randn(5)
    expected = F.gelu(x)
    assert GELU()(x) is x
    assert torch.equal(x, expected)
