"""EMOv2's schedule of RetinaNet and Mask R-CNN on COCO: `--recipe emov2`.

12 epochs with 4 images per GPU: AdamW with learning rate 2e-4 and weight decay 0.05, gradients clipped to a
norm of 0.1, a warm-up over 500 iterations, the full rate until epoch 6, then a cosine, which is set epoch by
epoch and has 7 % of the rate in the last. From the authors' configs (zhangzjn/EMOv2@582a96f,
downstreams/det/configs/retinanet and mask_rcnn, MMDetection 3.3). The number of GPUs is not published; 8 are
assumed, as EMO and most others have them. EMOv2 also freezes the first stage and keeps the statistics of
batch norms: `--freeze 1` and `--weights` do that. Stochastic depth is the backbone's own.

It is for a config of one's own, too, whose `optim_wrapper` then needs the `paramwise_cfg` of the backbone,
and whose `train_dataloader` the batch size:

    with read_base():
        from .retinanet_transcnn import *
        from ._base_.schedules.emov2_detector import *

    optim_wrapper.update(paramwise_cfg=paramwise_cfg)
    train_dataloader.update(batch_size=batch_size)
"""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch.optim import AdamW

batch_size = 4
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=12, val_interval=1)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=2e-4, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=0.1),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-5, by_epoch=False, begin=0, end=500),
    dict(type=CosineAnnealingLR, by_epoch=True, begin=6, end=12, T_max=6, eta_min=0.0),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
