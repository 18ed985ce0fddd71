"""What the segmentors share, with the settings of MMSegmentation's configs on ADE20K.

The backbone fragment defines `backbone` and `channels`. A head fragment says which feature maps its head
reads, and takes a schedule.
"""

from mmengine.config import read_base
from mmseg.models import CrossEntropyLoss, EncoderDecoder, SegDataPreProcessor

with read_base():
    from ..data.ade20k import *
    from ..runtime import *

default_scope = 'mmseg'  # MMSegmentation names some of its own defaults by string

norm_cfg = dict(type='BN')
visualizer.update(type='SegLocalVisualizer')  # which MMSegInferencer asserts
sync_bn = 'torch'  # with several processes on GPUs, every batch norm sees all of their images

model = dict(
    type=EncoderDecoder,
    data_preprocessor=dict(
        type=SegDataPreProcessor,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=crop_size,
        pad_val=0,
        seg_pad_val=255,
    ),
    decode_head=dict(
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
default_hooks.checkpoint.update(by_epoch=False, interval=16_000, save_best='mIoU')
default_hooks.logger.update(log_metric_by_epoch=False)
log_processor.update(by_epoch=False)
