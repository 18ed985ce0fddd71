"""A depthwise 5×5 convolution whose weights' gradient does not take most of a training step on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..compat import is_autocast_enabled, runs_eagerly_on_cpu

SIDE = 5  # of the kernel
TILE = 3  # of a kernel whose gradient is quick


class DepthwiseConv2d(nn.Conv2d):
    """An `nn.Conv2d` of one kernel per channel and stride 1, which keeps the size of the map.

    oneDNN computes the gradient of 5×5 kernels at a thirtieth of the machine's rate, that of 3×3 kernels at a
    third. So the 25 taps are computed as four 3×3 kernels that overlap in the middle row and column.

    Args:
        dim: channels.
        kernel_size: side of the kernel, odd.
        bias: whether it adds a bias.
    """

    def __init__(self, dim: int, kernel_size: int, bias: bool = True):
        super().__init__(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        if self.kernel_size == (SIDE, SIDE) and _trains_on_cpu(x, self.weight):
            out: Tensor = _Depthwise.apply(x, self.weight)
            return out if self.bias is None else out + self.bias[:, None, None]
        return super().forward(x)


def _trains_on_cpu(x: Tensor, weight: Tensor) -> bool:
    if not runs_eagerly_on_cpu(x) or is_autocast_enabled('cpu'):
        return False
    return torch.is_grad_enabled() and weight.requires_grad


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=SIDE // 2, groups=len(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        by_x = _backward(grad, x, weight, SIDE // 2, 0) if ctx.needs_input_grad[0] else None
        return by_x, weight_gradient(grad, x) if ctx.needs_input_grad[1] else None


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient (C, 1, 5, 5) of the kernels, from that of the output (B, C, H, W) and the input."""
    height, width = x.shape[2:]
    padded = F.pad(x, (SIDE // 2,) * 4)
    last = x.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if last else torch.contiguous_format
    tile = x.new_empty(x.shape[1], 1, TILE, TILE)
    rows = []
    for top in (0, SIDE - TILE):
        part = []
        for left in (0, SIDE - TILE):
            seen = padded[:, :, top : top + height + TILE - 1, left : left + width + TILE - 1]
            part.append(_backward(grad, seen.contiguous(memory_format=form), tile, 0, 1))
        rows.append(torch.cat((part[0], part[1][..., 1:]), -1))
    return torch.cat((rows[0], rows[1][..., 1:, :]), -2)


def _backward(grad: Tensor, x: Tensor, weight: Tensor, padding: int, which: int) -> Tensor:
    """The gradient of the input (0) or of the weights (1), by torch."""
    mask = [which == 0, which == 1, False]
    gradients = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], len(weight), mask
    )
    return gradients[which]
