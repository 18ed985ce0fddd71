"""PSPNet on SuperViT: `python tools/train.py configs/pspnet_supervit.py`."""

from mmengine.config import read_base

with read_base():
    from ._base_.backbones.supervit import *
    from ._base_.heads.pspnet import *

model.update(
    backbone=dict(backbone, out_indices=[1, 2, 3]),  # a level that no head reads would not learn
    decode_head=dict(in_channels=channels[-3:]),
    auxiliary_head=dict(in_channels=channels[-2]),
)
optim_wrapper.update(paramwise_cfg=paramwise_cfg)
