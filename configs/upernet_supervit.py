"""UPerNet on SuperViT: `python tools/train.py configs/upernet_supervit.py`."""

from mmengine.config import read_base

with read_base():
    from ._base_.backbones.supervit import *
    from ._base_.heads.upernet import *

model.update(
    backbone=backbone,
    decode_head=dict(in_channels=channels),
    auxiliary_head=dict(in_channels=channels[-2]),
)
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
