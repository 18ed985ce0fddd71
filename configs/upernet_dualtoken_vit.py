"""UPerNet on DualToken-ViT: `python tools/train.py configs/upernet_dualtoken_vit.py`."""

from mmengine.config import read_base

with read_base():
    from ._base_.backbones.dualtoken_vit import *
    from ._base_.heads.upernet import *

model.update(
    backbone=backbone,
    decode_head=dict(in_index=[0, 1, 2], in_channels=channels),
    auxiliary_head=dict(in_channels=channels[-2]),
)
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
