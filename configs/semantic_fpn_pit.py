"""Semantic FPN on PiT: `python tools/train.py configs/semantic_fpn_pit.py`."""

from mmengine.config import read_base

from vitdense.necks import ExtraLevelFPN

with read_base():
    from ._base_.backbones.pit import *
    from ._base_.heads.semantic_fpn import *

model.update(backbone=backbone, neck=dict(type=ExtraLevelFPN, in_channels=channels))
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
