"""RetinaNet on DualToken-ViT: `python tools/train.py configs/retinanet_dualtoken_vit.py`."""

from mmengine.config import read_base

with read_base():
    from ._base_.backbones.dualtoken_vit import *
    from ._base_.heads.retinanet import *

model.update(backbone=backbone, neck=dict(in_channels=channels, start_level=strides.index(8)))
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
