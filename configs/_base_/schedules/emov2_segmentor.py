"""EMOv2's schedule of DeepLabv3 and PSPNet on ADE20K: `--recipe emov2`.

80 000 iterations with 8 images per GPU, on 4 GPUs: AdamW with learning rate 1.2e-4 and weight decay 0.05,
gradients clipped to a norm of 0.1, a warm-up over 500 iterations, 40 000 at the full rate, 40 000 along a
cosine to zero. From the authors' configs (zhangzjn/EMOv2@582a96f, downstreams/seg/configs/deeplabv3 and
pspnet, MMSegmentation 1.2.2) and their README. A validation every 8000 iterations, as EMO's logs have it.
Stochastic depth is the backbone's own.

It is for a config of one's own, too, as `emov2_detector.py` says.
"""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch.optim import AdamW

batch_size = 8
train_cfg = dict(type=IterBasedTrainLoop, max_iters=80_000, val_interval=8000)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1.2e-4, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=0.1),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-5, by_epoch=False, begin=0, end=500),
    dict(type=CosineAnnealingLR, by_epoch=False, begin=40_000, end=80_000, T_max=40_000, eta_min=0.0),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
