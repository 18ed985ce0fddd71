"""Layers that are timm's, without timm: the same numbers, bit for bit, and the same state dict."""

import pytest
import timm.layers
import torch
from torch import Tensor, nn

from vitdense.layers.drop_path import DropPath
from vitdense.layers.init import trunc_normal_
from vitdense.layers.norm import LayerNorm2d
from vitdense.layers.transformer import Mlp


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of the parameters."""
    x = x.clone().requires_grad_()
    torch.manual_seed(2)
    y = layer(x)
    (y * torch.randn_like(y)).sum().backward()
    return [y, x.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('shape', [(7, 5), (1, 1, 33), (64, 64, 3, 3)])
def test_truncated_normal_numbers(seed, shape):
    torch.manual_seed(seed)
    theirs = timm.layers.trunc_normal_(torch.empty(shape), std=0.02)
    after = torch.get_rng_state()
    torch.manual_seed(seed)
    ours = torch.empty(shape)
    assert trunc_normal_(ours, std=0.02) is ours
    assert torch.equal(ours, theirs)
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize('rate', [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('shape', [(40, 3), (40, 3, 2, 2)])
def test_drop_path(rate, training, shape):
    x = torch.randn(shape)
    ours, theirs = DropPath(rate).train(training), timm.layers.DropPath(rate).train(training)
    assert all(map(torch.equal, results(ours, x), results(theirs, x)))


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_layer_norm_of_a_map(memory_format):
    ours, theirs = LayerNorm2d(6), timm.layers.LayerNorm2d(6)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=memory_format)
    assert all(map(torch.equal, results(ours, x), results(theirs, x)))
    assert ours(x).stride() == theirs(x).stride()
    assert ours.eps == theirs.eps


def test_mlp():
    theirs = timm.layers.Mlp(6, 10)
    ours = Mlp(6, 10)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 9, 6)
    assert all(map(torch.equal, results(ours, x), results(theirs, x)))
