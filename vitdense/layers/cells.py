"""A map cut into square cells for attention, and back; cells that reach over the edge are masked."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compat import is_exporting


def to_cells(x: Tensor, side: int) -> tuple[Tensor, Tensor | None]:
    """Cut a map into cells of side × side pixels, row by row, padded at the right and bottom.

    Args:
        x: (B, C, H, W).
        side: of a cell, in pixels.

    Returns:
        The cells' pixels (B·n, side², C), with n = ⌈H/side⌉·⌈W/side⌉, and the mask of real pixels
        (B·n, 1, 1, side²), boolean, for the keys of an attention; None where every pixel is real.
    """
    batch, channels, height, width = x.shape
    rows, columns = _count(height, side), _count(width, side)
    bottom, right = rows * side - height, columns * side - width
    cut = (rows, side, columns, side)
    cells = _pad(x.permute(0, 2, 3, 1), bottom, right).reshape(batch, *cut, channels)
    cells = cells.transpose(2, 3).reshape(batch * rows * columns, side * side, channels)
    if not _pads(bottom, right):
        return cells, None
    real = _pad(x.new_ones(1, height, width, 1, dtype=torch.bool), bottom, right).reshape(cut)
    real = real.transpose(1, 2).reshape(1, rows * columns, side * side)
    return cells, real.expand(batch, -1, -1).reshape(batch * rows * columns, 1, 1, side * side)


def from_cells(cells: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """Put the cells (B·n, side², C) of `to_cells` back into a map (B, C, H, W) of `size` = (H, W)."""
    height, width = size
    rows, columns = _count(height, side), _count(width, side)
    batch, channels = cells.shape[0] // (rows * columns), cells.shape[2]
    x = cells.reshape(batch, rows, columns, side, side, channels).transpose(2, 3)
    x = x.reshape(batch, rows * side, columns * side, channels)
    return _pad(x, height - rows * side, width - columns * side).permute(0, 3, 1, 2)


def _count(length: int, side: int) -> int:
    """Cells along one axis."""
    return (length + side - 1) // side


def _pads(bottom: int, right: int) -> bool:
    # An exported graph serves every size, so it must always pad and mask, if only by nothing.
    return is_exporting() or bottom != 0 or right != 0


def _pad(x: Tensor, bottom: int, right: int) -> Tensor:
    """Pad (B, H, W, C) with zeros, or crop it where the numbers are negative."""
    return F.pad(x, (0, 0, 0, right, 0, bottom)) if _pads(bottom, right) else x
