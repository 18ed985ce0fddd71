"""A linear layer of a map is a linear layer, computed as a convolution."""

import torch
from torch import nn

from vitdense.layers.linear import PointwiseLinear


@torch.no_grad()
def test_it_is_the_linear_layer_of_its_state_dict():
    plain = nn.Linear(6, 10).double()
    layer = PointwiseLinear(6, 10).double()
    layer.load_state_dict(plain.state_dict())
    assert isinstance(layer, nn.Linear)
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-12, atol=1e-12)
    assert layer(x).is_contiguous()
