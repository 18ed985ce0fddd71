"""Training from random weights: the initialization, the optimizer and the warm-up that it needs.

The published schedules are for pretrained backbones, whose features heads only have to read. From scratch, a
head without norms first sees a signal that each of its convolutions makes smaller, and nearly the same
everywhere: it then learns late to tell classes from each other.
"""

import math
from typing import NamedTuple

from mmengine.config import Config

from ..config.tree import dicts, name_of

# Heads without norms: the convolutions of their outputs, which keep small weights, and their biases.
HEADS: dict[str, dict[str, dict]] = {
    'RetinaHead': dict(retina_cls=dict(bias_prob=0.01), retina_reg={}),  # as the focal loss wants it
    'RPNHead': dict(rpn_cls={}, rpn_reg={}),
}
CALIBRATION = 'vitdense.engine.calibrate.CalibrateHook'
RATE = 6e-4  # of a backbone, at most, for BATCH images
WARM_UP = 100  # iterations
BETAS = (0.9, 0.98)  # gradients change in size by orders in the first hundred steps
GRADIENT_NORM = 1.0  # larger steps throw heads without norms back
BATCH = 4
# Backbones without batch norms, of which a detector learns more at half of the rate: on the sample, mAP of
# RetinaNet on HAT-Net, whose loss jumps back at the full rate, is 0.38, not 0.20, and on PiT 0.26, not 0.25.
HALF_RATE = ('HATNet', 'PiT')


class Schedule(NamedTuple):
    """Of a training from scratch, by iterations.

    rate: the highest learning rate.
    warm_up: iterations until then.
    """

    batch: int
    iterations: int
    rate: float = RATE
    warm_up: int = WARM_UP


def initialize_heads(cfg: Config) -> None:
    """He's initialization (He et al., ICCV 2015, equation 10), and one by the data, for heads without norms.

    It keeps the size of the signal. Their own, of standard deviation 0.01, is for pretrained backbones: each
    convolution of 256 channels makes the signal three times smaller, and the backbone's gradient with it.
    """
    small = dict(type='mmengine.model.NormalInit', std=0.01)
    for part in dicts(cfg.model):
        outputs = HEADS.get(name_of(part))
        if outputs and 'init_cfg' not in part:
            part['init_cfg'] = dict(
                type='mmengine.model.KaimingInit',
                layer='Conv2d',
                mode='fan_in',
                override=[dict(small, name=name, **more) for name, more in outputs.items()],
            )
    if any(name_of(part) in HEADS for part in dicts(cfg.model)):
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), dict(type=CALIBRATION)]


def rate_for(batch: int) -> float:
    """The highest learning rate of a backbone, which grows with the square root of the batch size."""
    return RATE * math.sqrt(batch / BATCH)


def set_optimizer(cfg: Config, rate: float) -> None:
    """The optimizer of a training from scratch, in place: its highest learning rate, its betas, clipping.

    Args:
        cfg: the config.
        rate: of most backbones.
    """
    optimizer = cfg.optim_wrapper.optimizer
    halved = name_of(cfg.model.backbone) in HALF_RATE and 'decode_head' not in cfg.model
    optimizer.lr = rate / 2 if halved else rate
    if 'Adam' in name_of(optimizer):
        optimizer.betas = BETAS
    cfg.optim_wrapper.clip_grad = dict(max_norm=GRADIENT_NORM)


def set_schedule(cfg: Config, schedule: Schedule, every: int) -> None:
    """A training by iterations, warmed up and then along a cosine, validated every so many, in place."""
    cfg.train_dataloader.update(
        batch_size=schedule.batch,
        # images of one shape need no sorting, and a sampler without end no new start after each epoch
        sampler=dict(type='mmengine.dataset.InfiniteSampler', shuffle=True),
        batch_sampler=None,
    )
    cfg.train_cfg = dict(
        type='mmengine.runner.IterBasedTrainLoop', max_iters=schedule.iterations, val_interval=every
    )
    set_optimizer(cfg, schedule.rate)
    if 'auto_scale_lr' in cfg:
        cfg.auto_scale_lr.base_batch_size = schedule.batch
    cosine = dict(type='mmengine.optim.CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01)
    cfg.param_scheduler = [
        dict(
            type='mmengine.optim.LinearLR', by_epoch=False, start_factor=0.01, begin=0, end=schedule.warm_up
        ),
        dict(cosine, begin=schedule.warm_up, end=schedule.iterations),
    ]
    cfg.log_processor.by_epoch = False
    cfg.default_hooks.logger.update(interval=10, log_metric_by_epoch=False)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=every, max_keep_ckpts=2)
