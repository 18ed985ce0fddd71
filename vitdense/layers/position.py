"""Learned position tables on grids of other sizes than they were learned on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compat import is_exporting


def resample_table(table: Tensor, size: tuple[int, int]) -> Tensor:
    """A table (1, C, h, w) on a grid of `size` = (H, W): (1, C, H, W), bicubic, computed in float32.

    Nothing is cached: the result follows every change of the table (by an optimizer, a moving average, a
    loaded checkpoint) and passes its gradient on to it.
    """
    # An exported graph serves every size; to the table's own size bicubic resampling is the identity.
    if not is_exporting() and table.shape[-2:] == tuple(size):
        return table
    return F.interpolate(table.float(), size, mode='bicubic', align_corners=False).to(table.dtype)


def fit_table(table: Tensor, shape: torch.Size) -> Tensor:
    """A released table resampled to the `shape` of ours; unchanged if it cannot be.

    Two forms are in use: maps (1, C, h, w), and token sequences (1, 1 + g², C), the class token's position
    before a square grid, row by row.
    """
    if table.shape == shape or table.ndim != len(shape):
        return table
    if table.ndim == 4 and table.shape[:2] == shape[:2]:
        return resample_table(table, (shape[2], shape[3]))
    if table.ndim == 3 and (table.shape[0], table.shape[2]) == (shape[0], shape[2]):
        sides = [round(max(n - 1, 0) ** 0.5) for n in (table.shape[1], shape[1])]
        if [1 + side * side for side in sides] == [table.shape[1], shape[1]] and min(sides) > 0:
            grid = table[:, 1:].unflatten(1, (sides[0], sides[0])).permute(0, 3, 1, 2)
            grid = resample_table(grid, (sides[1], sides[1])).flatten(2).transpose(1, 2)
            return torch.cat([table[:, :1], grid], dim=1)
    return table
