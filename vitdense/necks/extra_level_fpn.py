"""A feature pyramid with one level finer than the backbone's finest.

Detectors such as Mask R-CNN take levels of strides 4 to 64. A backbone of three stages begins at stride 8;
the level of stride 4 comes from one learned transposed convolution, as in LightViT.

Source: T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan, S. Belongie, "Feature Pyramid Networks for
Object Detection", arXiv 1612.03144, section 3; T. Huang, L. Huang, S. You, F. Wang, C. Qian, C. Xu,
"LightViT", arXiv 2207.05557, for the extra level.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module(force=True)
class ExtraLevelFPN(BaseModule):
    """FPN whose finest level is an upsampled one, for backbones without a map of stride 4.

    A 1×1 convolution of each map, to which, from the coarsest to the finest, the next coarser one is added,
    upsampled: the laterals. The finest lateral, doubled by a 2×2 transposed convolution, is the extra one.
    A 3×3 convolution of each is a level. Further coarse levels take every second pixel of the one before.

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every level.
        num_outs: number of levels, with the extra one; at least one more than the maps.
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: `num_outs` is too small; in `forward`, the number of maps is not that of `in_channels`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_outs: int = 5,
        init_cfg: dict | list[dict] | None = None,
    ):
        layers = ['Conv2d', 'ConvTranspose2d']
        super().__init__(init_cfg or dict(type='Xavier', layer=layers, distribution='uniform'))
        self.in_channels = list(in_channels)
        levels = len(in_channels) + 1
        if num_outs < levels:
            raise ValueError(
                f'num_outs={num_outs}: {len(in_channels)} maps and the extra level make at least {levels}'
            )
        self.num_outs = num_outs
        self.lateral_convs = nn.ModuleList(nn.Conv2d(dim, out_channels, 1) for dim in in_channels)
        self.up = nn.ConvTranspose2d(out_channels, out_channels, 2, stride=2)
        self.fpn_convs = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in range(levels)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, C_i, H_i, W_i), finest first → `num_outs` levels (B, C, h, w), the first 2H_0 × 2W_0."""
        if len(maps) != len(self.lateral_convs):
            raise ValueError(f'expected {len(self.lateral_convs)} maps, got {len(maps)}')
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, maps, strict=True)]
        for i in reversed(range(len(laterals) - 1)):
            laterals[i] = laterals[i] + F.interpolate(laterals[i + 1], laterals[i].shape[2:], mode='nearest')
        laterals.insert(0, self.up(laterals[0]))

        levels = [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=True)]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return tuple(levels)
