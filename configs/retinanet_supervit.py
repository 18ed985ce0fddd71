"""RetinaNet on SuperViT: `python tools/train.py configs/retinanet_supervit.py`."""

from mmengine.config import read_base

with read_base():
    from ._base_.backbones.supervit import *
    from ._base_.heads.retinanet import *

model.update(
    backbone=dict(backbone, out_indices=[1, 2, 3]),  # a level that no head reads would not learn
    neck=dict(in_channels=channels[-3:]),
)
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
