"""Antialiased bilinear interpolation, as a product with each axis' weights."""

from typing import Any

import torch
from torch import Tensor

from ..compat import sym_max


def resample(x: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate a map (B, H, W, C) to (B, rows, columns, C) by the two axes' `interpolation`."""
    rows, columns = weights
    x = (rows @ x.flatten(2)).unflatten(2, (-1, x.shape[3]))  # (B, rows, W, C)
    return columns @ x


def interpolation(like: Tensor, length: int, cells: int) -> Tensor:
    """Weights (cells, length) of an axis' pixels: bilinear, with the antialiasing of image libraries.

    Where there are more pixels than cells every pixel counts, the less the further it is from the cell's
    centre, up to one cell away. The numbers are those of `F.interpolate(…, antialias=True)`, which lacks half
    precision on the CPU; products have it everywhere, and these weights serve all blocks of a forward pass.
    """
    pixels = torch.arange(length, device=like.device) + 0.5
    centres = (torch.arange(cells, device=like.device) + 0.5) * (length / cells)
    reach: Any = sym_max(length, cells) / cells  # in pixels, at least one; symbolic in an export
    weights = (1 - (pixels - centres[:, None]).abs() / reach).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)
