"""A linear layer that is computed as a convolution is the linear layer of its state dict."""

import pytest
import torch
from torch import nn

from vitdense.layers.linear import PointwiseLinear


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('shape', [(2, 5, 7, 6), (3, 4, 6), (5, 6), (6,), (2, 0, 6)], ids=str)
def test_it_is_the_linear_layer_of_its_state_dict(shape, bias, dtype):
    torch.manual_seed(0)
    plain, layer = nn.Linear(6, 10, bias).to(dtype), PointwiseLinear(6, 10, bias).to(dtype)
    layer.load_state_dict(plain.state_dict())
    assert isinstance(layer, nn.Linear)
    results = []
    for one in (plain, layer):
        x = torch.linspace(-1, 1, 420).to(dtype)[: torch.Size(shape).numel()].reshape(shape).requires_grad_()
        out = one(x)
        assert out.is_contiguous()
        out.square().sum().backward()
        results.append((out, x.grad, *(parameter.grad for parameter in one.parameters())))
    torch.testing.assert_close(*results)


def test_a_map_in_another_order_of_memory():
    plain, layer = nn.Linear(6, 10), PointwiseLinear(6, 10)
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, 4, 5).permute(0, 2, 3, 1)  # (B, H, W, C) of a map (B, C, H, W)
    torch.testing.assert_close(layer(x), plain(x))
