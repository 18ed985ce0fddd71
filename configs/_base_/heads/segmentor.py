"""What PSPNet and DeepLabv3 share, with the settings of MMSegmentation's r50-d8 configs on ADE20K.

The backbone fragment defines `backbone` and `channels`. MMSegmentation's ResNet trades strides for dilation
and ends at stride 8. Here the published strides stay: the head reads the feature maps at strides 8, 16 and
32, resized to the first and concatenated, and the auxiliary head the one at stride 16.
"""

from mmengine.config import read_base
from mmseg.models import CrossEntropyLoss, EncoderDecoder, FCNHead, SegDataPreProcessor

with read_base():
    from ..data.ade20k import *
    from ..runtime import *
    from ..schedules.segmentor_160k import *

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
        in_index=[-3, -2, -1],
        input_transform='resize_concat',
        channels=512,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=1.0),
    ),
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
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
default_hooks.checkpoint.update(by_epoch=False, interval=16_000, save_best='mIoU')
default_hooks.logger.update(log_metric_by_epoch=False)
log_processor.update(by_epoch=False)
