"""160 000 iterations of batch size 16, the usual schedule of transformers on ADE20K; polynomial decay.

AdamW, learning rate 1e-4 and weight decay 1e-4 are those that PVT's and Twins' segmentors with a plain
convolutional head were published with, the closest recipe for light transformers. Warm-up and decay as in
MMSegmentation's configs of Twins and Swin: 1500 iterations, then to zero.
"""

from mmengine.optim import LinearLR, OptimWrapper, PolyLR
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop
from torch.optim import AdamW

train_cfg = dict(type=IterBasedTrainLoop, max_iters=160_000, val_interval=16_000)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)

optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-4, weight_decay=1e-4, fused=True))
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type=PolyLR, by_epoch=False, begin=1500, end=160_000, power=1.0, eta_min=0.0),
]
# 4 processes of 4 images; `--cfg-options auto_scale_lr.enable=True` scales the learning rate for others
auto_scale_lr = dict(enable=False, base_batch_size=16)
