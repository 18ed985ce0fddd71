"""The depthwise convolution is torch's, and so are its gradients, to rounding."""

import pytest
import torch
from torch import nn

from vitdense.layers.depthwise import DepthwiseConv2d, weight_gradient


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (3, 2), (9, 14)])
@pytest.mark.parametrize('form', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('bias', [True, False])
def test_output_and_gradients_are_those_of_torch(size, form, bias):
    torch.manual_seed(0)
    ours = DepthwiseConv2d(6, 5, bias=bias)
    torchs = nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=bias)
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, *size).contiguous(memory_format=form).requires_grad_()
    results = []
    for conv in (ours, torchs):
        out = conv(x)
        weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
        results.append([out, *torch.autograd.grad((out * weights).sum(), [x, *conv.parameters()])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences():
    conv = DepthwiseConv2d(2, 5, bias=False).double()
    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(conv, dict(weight=w), x), (x, conv.weight)
    )


def test_the_quick_gradient_is_used_where_a_cpu_trains_and_nowhere_else(monkeypatch):
    calls = []
    monkeypatch.setattr(
        'vitdense.layers.depthwise.weight_gradient',
        lambda grad, x: calls.append(1) or weight_gradient(grad, x),
    )
    for side, autocast, times in ((5, False, 1), (3, False, 0), (5, True, 0)):
        conv, x = DepthwiseConv2d(4, side), torch.randn(1, 4, 8, 8)
        calls.clear()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            conv(x).float().sum().backward()
        assert len(calls) == times
        assert conv.weight.grad is not None
