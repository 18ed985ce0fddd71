"""Which tokens SuperViT keeps, at which setting of its dials and after which block."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..backbones.supervit import SuperViT
from ..dials import DialSetting
from .record import record
from .view import View

DIALS = (DialSetting(1, 0.7), DialSetting(1, 0.5), DialSetting(4 / 7, 0.7))  # of the paper's rates and sizes


@dataclass(frozen=True, eq=False)
class Kept:
    """At one setting.

    stride: pixels of the image that a patch covers.
    blocks: numbers of the blocks that drop patches.
    masks: for each, (h, w), true where a patch goes on.
    """

    setting: DialSetting
    stride: float
    blocks: Sequence[int]
    masks: Sequence[np.ndarray]


def kept_tokens(backbone: SuperViT, view: View, settings: Sequence[DialSetting]) -> list[Kept]:
    """Of one image."""
    found = []
    for setting in settings:
        with at_dials(backbone, setting):
            seen = record(backbone, view.image)
        masks = []
        for index in range(1, len(backbone.stages)):
            mask = np.zeros(seen.sizes[0], dtype=bool)
            places = seen.kept.get(f'stages.{index}.0')  # none at a keep rate of 1
            mask.flat[:] = True if places is None else np.isin(np.arange(mask.size), places.numpy())
            masks.append(mask)
        found.append(Kept(setting, seen.strides[0], backbone.arch.pruned_blocks, masks))
    return found


@contextmanager
def at_dials(backbone: SuperViT, setting: DialSetting) -> Iterator[None]:
    """While the backbone runs at a setting; afterwards, its dials are as they were."""
    before = backbone.scale, backbone.keep_rate
    backbone.scale, backbone.keep_rate = setting
    try:
        yield
    finally:
        backbone.scale, backbone.keep_rate = before
