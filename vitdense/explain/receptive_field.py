"""How far a map sees: the gradient of its centre with respect to the image.

Source: W. Luo, Y. Li, R. Urtasun, R. Zemel, "Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks", arXiv 1701.04128, section 4.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..backbones.dualtoken_vit import DualTokenViT
from ..backbones.pit import PiT
from ..backbones.pyramid import Pyramid
from ..backbones.supervit import SuperViT

DRAWS = 4  # of signs for each image
SEED = 0


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """Of one map: (2r + 1, 2r + 1), the absolute gradient around the pixel under the centre; its sum is 1."""

    gradient: np.ndarray

    def radius(self, share: float) -> int:
        """Pixels from the centre to each side of the square that has this share of the gradient."""
        middle = len(self.gradient) // 2
        offsets = np.abs(np.arange(len(self.gradient)) - middle)
        rings = np.maximum(offsets[:, None], offsets[None])
        within = np.cumsum(np.bincount(rings.ravel(), self.gradient.ravel()))
        return int(np.searchsorted(within, share - 1e-9))


def first_pixels(backbone: Pyramid) -> list[int]:
    """The row, and the column, on which the first cell of each map is centred; the others follow by strides.

    Strided convolutions with padding are centred on pixel 0. Patches, 2 × 2 merging and what doubles a map
    are centred between pixels.
    """
    if isinstance(backbone, SuperViT):
        return [stride // 2 for stride in backbone.strides]
    if isinstance(backbone, DualTokenViT):  # whose stem is of convolutions, and then it merges
        return [(stride - 8) // 2 for stride in backbone.strides]
    if isinstance(backbone, PiT) and not backbone.stem.padded:
        return [backbone.arch.patch_size // 2] * len(backbone.strides)
    return [0] * len(backbone.strides)


def receptive_fields(
    backbone: nn.Module,
    strides: Sequence[int],
    first: Sequence[int],
    images: Iterable[Tensor],
    draws: int = DRAWS,
) -> list[ReceptiveField]:
    """Of each map that a backbone returns, over images (1, 3, H, W) of any sizes.

    The channels of the centre are added with signs drawn at random, several times for each image: with one
    sign for all, those behind a layer norm, as VVT's are, would cancel each other out. The absolute values of
    the gradient are added over the colours, and averaged over draws and images. All windows are as large as
    the smallest image has it; what is outside does not count.

    Args:
        backbone: returns maps (1, C, h, w).
        strides: of the maps, in pixels.
        first: the pixel under the first cell of each map.
        images: normalised.
        draws: of signs for each image.
    """
    generator = torch.Generator().manual_seed(SEED)
    found: list[list[np.ndarray]] = [[] for _ in strides]
    for image in images:
        image = image.detach().clone().requires_grad_()
        with torch.enable_grad():
            maps = backbone(image)
        for windows, stride, start, x in zip(found, strides, first, maps, strict=True):
            cell = x.shape[2] // 2, x.shape[3] // 2
            centre = x[0, :, cell[0], cell[1]]
            total = torch.zeros(image.shape[2:], dtype=torch.float64)
            for _ in range(draws):
                signs = torch.randint(0, 2, centre.shape, generator=generator) * 2.0 - 1
                (gradient,) = torch.autograd.grad(centre, image, signs.to(centre), retain_graph=True)
                total += gradient[0].abs().sum(0).double().cpu()
            row, column = (
                min(number * stride + start, side - 1) for number, side in zip(cell, total.shape, strict=True)
            )
            windows.append(_around(total.numpy(), row, column))
    side = min(len(window) for windows in found for window in windows)
    return [ReceptiveField(_mean(windows, side)) for windows in found]


def _around(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """The largest square around a pixel that is inside."""
    reach = min(row, column, image.shape[0] - 1 - row, image.shape[1] - 1 - column)
    return image[row - reach : row + reach + 1, column - reach : column + reach + 1]


def _mean(windows: list[np.ndarray], side: int) -> np.ndarray:
    """Of their middles, each with a sum of 1: an image with larger gradients counts no more than others."""
    total = np.zeros((side, side))
    for window in windows:
        edge = (len(window) - side) // 2
        middle = window[edge : edge + side, edge : edge + side]
        total += middle / max(middle.sum(), np.finfo(float).tiny)
    return total / len(windows)
