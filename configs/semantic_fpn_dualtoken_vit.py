"""Semantic FPN on DualToken-ViT: `python tools/train.py configs/semantic_fpn_dualtoken_vit.py`."""

from mmengine.config import read_base

from vitdense.necks import ExtraLevelFPN

with read_base():
    from ._base_.backbones.dualtoken_vit import *
    from ._base_.heads.semantic_fpn import *

model.update(backbone=backbone, neck=dict(type=ExtraLevelFPN, in_channels=channels))
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
