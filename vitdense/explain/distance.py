"""How VVT's effective weights fall with the distance, beside what its cosines alone would make of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..backbones.vvt import VVT
from .record import Record, last_block
from .weights import VicinityWeights

QUERIES = 1024  # pixels of a map, spread over it, that stand for all


@dataclass(frozen=True, eq=False)
class ByDistance:
    """Of one stage's last block, the mean over its heads.

    stride: of its map.
    pixels: distances, in pixels of the image, the middles of rings one cell wide.
    weight: the mean in each ring, by that of uniform attention; `alone`: of the cosines without the content.
    """

    stride: float
    pixels: np.ndarray
    weight: np.ndarray
    alone: np.ndarray


def by_distance(backbone: VVT, record: Record) -> list[ByDistance]:
    """Of each stage, for one image.

    Raises:
        NotItsOutput: weights that are not those of the layer.
    """
    found = []
    for index, stride in enumerate(record.strides):
        found.append(_rings(record.attentions[f'{last_block(backbone, index)}.attn'][-1], stride))
    return found


def average(images: Sequence[Sequence[ByDistance]]) -> list[ByDistance]:
    """Of several images: the mean of each stage, as far as all of them reach."""
    means = []
    for stages in zip(*images, strict=True):
        count = min(len(one.pixels) for one in stages)
        weight, alone = (
            np.mean([getattr(one, name)[:count] for one in stages], 0) for name in ('weight', 'alone')
        )
        means.append(ByDistance(stages[0].stride, stages[0].pixels[:count], weight, alone))
    return means


def _rings(attention: VicinityWeights, stride: float) -> ByDistance:
    height, width = attention.size
    count = height * width
    step = max(1, round((count / QUERIES) ** 0.5))  # rows and columns apart
    rows, columns = torch.arange(0, height, step), torch.arange(0, width, step)
    numbers = (rows[:, None] * width + columns).flatten()
    keys = torch.arange(count)
    totals = np.zeros((3, height + width))
    for part in numbers.split(max(1, (1 << 22) // count)):
        weights = attention.weights(part).mean(0)
        alone = attention.vicinity(part)
        alone = alone / alone.sum(1, keepdim=True)
        across = part[:, None] % width - keys % width
        down = part[:, None] // width - keys // width
        ring = torch.hypot(across.double(), down.double()).round().long().flatten().numpy()
        for total, values in zip(totals, (weights, alone, torch.ones_like(alone)), strict=True):
            total += np.bincount(ring, values.flatten().numpy(), height + width)
    there = totals[2] > 0
    weight, alone_mean = totals[0][there] / totals[2][there], totals[1][there] / totals[2][there]
    return ByDistance(stride, np.flatnonzero(there) * stride, weight * count, alone_mean * count)
