"""80 000 iterations of batch size 16, with which PVT's Semantic FPN was published; polynomial decay.

AdamW, learning rate 1e-4, weight decay 1e-4, power 0.9, no warm-up. PVT's own run has 40 000 iterations of
batch size 32 and learning rate 2e-4, which its authors give as the same.
"""

from mmengine.optim import OptimWrapper, PolyLR
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop
from torch.optim import AdamW

train_cfg = dict(type=IterBasedTrainLoop, max_iters=80_000, val_interval=8_000)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)

optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-4, weight_decay=1e-4, fused=True))
param_scheduler = [dict(type=PolyLR, by_epoch=False, begin=0, end=80_000, power=0.9, eta_min=0.0)]
# 4 processes of 4 images; `--cfg-options auto_scale_lr.enable=True` scales the learning rate for others
auto_scale_lr = dict(enable=False, base_batch_size=16)
