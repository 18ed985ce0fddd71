"""Semantic FPN (Kirillov et al., CVPR 2019): levels of a feature pyramid, enlarged to stride 4 and summed.

The settings are PVT's. Each level is convolved and doubled, step by step, until it has stride 4. The backbone
fragment defines `backbone` and `channels`; the neck's levels have strides 4 to 32. A backbone without a
feature map of stride 4 takes `ExtraLevelFPN` as its neck, as in Mask R-CNN: then the sum has the resolution
that the head was published with.
"""

from mmengine.config import read_base
from mmseg.models import FPN, FPNHead

with read_base():
    from ..schedules.segmentor_80k import *
    from .segmentor import *

model.update(neck=dict(type=FPN, out_channels=256, num_outs=4))
model.decode_head.update(
    type=FPNHead,
    in_channels=[256, 256, 256, 256],
    in_index=[0, 1, 2, 3],
    feature_strides=[4, 8, 16, 32],  # only their ratios count: PiT-B's are 3.5, 7, 14 and 28
    channels=128,
)
default_hooks.checkpoint.update(interval=8_000)
