"""What PSPNet, DeepLabv3 and UPerNet share: a second head, of a few convolutions, on the map at stride 16.

It only trains. Its width and the weight of its loss are those of MMSegmentation's r50-d8 configs and of
Swin's UPerNet.
"""

from mmengine.config import read_base
from mmseg.models import CrossEntropyLoss, FCNHead

with read_base():
    from ..schedules.segmentor_160k import *
    from .segmentor import *

model.decode_head.update(channels=512)
model.update(
    auxiliary_head=dict(
        type=FCNHead,
        in_index=-2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=0.4),
    ),
)
