"""Semantic FPN on SuperViT: `python tools/train.py configs/semantic_fpn_supervit.py`."""

from mmengine.config import read_base

with read_base():
    from ._base_.backbones.supervit import *
    from ._base_.heads.semantic_fpn import *

model.update(backbone=backbone, neck=dict(in_channels=channels))
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
