"""Operators that keep their meaning in a graph with free sizes, in place of those that do not."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class ExactAdaptivePool(nn.Module):
    """Adaptive average pooling as two products with each axis' weights.

    Cell i of n along an axis of length L is the mean of the pixels ⌊i·L/n⌋ to ⌈(i+1)·L/n⌉ - 1, as in
    `torch.nn.AdaptiveAvgPool2d`. That operator has fixed windows in ONNX: those of the example that a graph
    was traced with, whatever the size it then gets.

    Args:
        cells: (rows, columns).
    """

    def __init__(self, cells: tuple[int, int]):
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, rows, columns)."""
        rows, columns = (
            cell_means(x, length, count) for length, count in zip(x.shape[2:], self.cells, strict=True)
        )
        return rows @ x @ columns.T


def cell_means(like: Tensor, length: int, cells: int) -> Tensor:
    """Weights (cells, length) that take the mean of each cell's pixels."""
    first = torch.arange(cells, device=like.device) * length // cells
    last = ((torch.arange(cells, device=like.device) + 1) * length + cells - 1) // cells
    pixel = torch.arange(length, device=like.device)
    inside = ((pixel >= first[:, None]) & (pixel < last[:, None])).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def exportable(model: nn.Module) -> Any:
    """A copy whose adaptive pooling is exact in a graph with free sizes."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size
                rows, columns = size if isinstance(size, tuple) else (size, size)
                if rows is not None and columns is not None:  # None keeps the axis as it is
                    setattr(parent, name, ExactAdaptivePool((rows, columns)))
    return model
