"""The 1× schedule: 12 epochs of COCO, batch size 16, learning rate divided by 10 after epochs 8 and 11.

AdamW and its numbers are those that PVT's detectors were published with, the closest published recipe for
light transformers: learning rate 1e-4 for RetinaNet (2e-4 for Mask R-CNN, set by its head), weight decay
1e-4, no gradient clipping. Warm-up over 500 iterations as in MMDetection's 1× schedule.
"""

from mmengine.optim import LinearLR, MultiStepLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from torch.optim import AdamW

train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=12, val_interval=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)

optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-4, weight_decay=1e-4, fused=True))
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type=MultiStepLR, by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
# 8 processes of 2 images; `--cfg-options auto_scale_lr.enable=True` scales the learning rate for others
auto_scale_lr = dict(enable=False, base_batch_size=16)
