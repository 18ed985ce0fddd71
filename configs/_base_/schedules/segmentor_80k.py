"""Half of `segmentor_160k`'s iterations, for a config of one's own.

    with read_base():
        from .pspnet_transcnn import *
        from ._base_.schedules.segmentor_80k import *

The optimizer stays, with its backbone's exceptions from weight decay.
"""

from mmengine.optim import LinearLR, PolyLR
from mmengine.runner import IterBasedTrainLoop

train_cfg = dict(type=IterBasedTrainLoop, max_iters=80_000, val_interval=8_000)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type=PolyLR, by_epoch=False, begin=1500, end=80_000, power=1.0, eta_min=0.0),
]
