"""Operators that keep their meaning in a graph with free sizes, in place of those that do not."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
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


class Enlarge(nn.Module):
    """Resizing by a whole factor, as in MMSegmentation's `Upsample`, to a size in whole numbers.

    `Upsample` makes them of floats, `int(2.0 * side)`. A traced graph keeps the number that this was for the
    example, whatever the size it then gets.

    Args:
        factor: how many times as long each side becomes.
        mode: of `torch.nn.functional.interpolate`.
        align_corners: likewise.
    """

    def __init__(self, factor: int, mode: str, align_corners: bool | None):
        super().__init__()
        self.factor, self.mode, self.align_corners = factor, mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, factor · H, factor · W)."""
        size = [side * self.factor for side in x.shape[2:]]
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)


def exportable(model: nn.Module) -> Any:
    """A copy whose adaptive pooling and upsampling are exact in a graph with free sizes."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if (exact := _exact(child)) is not None:
                setattr(parent, name, exact)
    return model


def _exact(part: Any) -> nn.Module | None:
    """What takes the place of a part, if something has to."""
    if isinstance(part, nn.AdaptiveAvgPool2d):
        size = part.output_size
        rows, columns = size if isinstance(size, tuple) else (size, size)
        if rows is not None and columns is not None:  # None keeps the axis as it is
            return ExactAdaptivePool((rows, columns))
    is_theirs = type(part).__name__ == 'Upsample' and type(part).__module__.startswith('mmseg.')
    if is_theirs and isinstance(factor := part.scale_factor, float) and factor.is_integer():
        return Enlarge(int(factor), part.mode, part.align_corners)
    return None
