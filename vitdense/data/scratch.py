"""Training from random weights: the initialization, the rates and the warm-up that it needs.

The published schedules are for pretrained backbones, whose features heads only have to read. From scratch, a
head without norms gets a signal that each of its convolutions makes smaller, and throws it back at the rate
that a backbone with norms learns best at.
"""

import math
from typing import Any

from mmengine.config import Config

from ..config.tree import dicts, name_of

# Heads without norms: the convolutions of their outputs, which keep small weights, and their biases.
HEADS: dict[str, dict[str, dict]] = {
    'RetinaHead': dict(retina_cls=dict(bias_prob=0.01), retina_reg={}),  # as the focal loss wants it
    'RPNHead': dict(rpn_cls={}, rpn_reg={}),
}
WITHOUT_NORMS = ('bbox_head', 'rpn_head', 'roi_head')  # parts of a detector
RATE = 6e-4  # of a backbone, at most, for BATCH images
WARM_UP = 150  # iterations: with 60, the classification loss of RetinaNet doubles
HEAD_RATE = 0.5  # of the backbone's
BETAS = (0.9, 0.98)  # gradients change in size by orders in the first hundred steps
GRADIENT_NORM = 1.0  # larger steps throw heads without norms back
BATCH = 4


def initialize_heads(model: Any) -> None:
    """He's initialization (He et al., ICCV 2015, equation 10) for heads without norms, in place.

    It keeps the size of the signal. Their own, of standard deviation 0.01, is for pretrained backbones: each
    convolution of 256 channels makes the signal three times smaller, and the backbone's gradient with it.
    """
    small = dict(type='mmengine.model.NormalInit', std=0.01)
    for part in dicts(model):
        outputs = HEADS.get(name_of(part))
        if outputs and 'init_cfg' not in part:
            part['init_cfg'] = dict(
                type='mmengine.model.KaimingInit',
                layer='Conv2d',
                mode='fan_in',
                override=[dict(small, name=name, **more) for name, more in outputs.items()],
            )


def rate_for(batch: int) -> float:
    """The highest learning rate of a backbone, which grows with the square root of the batch size."""
    return RATE * math.sqrt(batch / BATCH)


def set_rates(cfg: Config, rate: float) -> None:
    """The learning rates of a training from scratch, in place; detectors' heads have half the rate."""
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr = rate
    if 'Adam' in name_of(optimizer):
        optimizer.betas = BETAS
    heads = [part for part in WITHOUT_NORMS if part in cfg.model]
    if heads and not cfg.optim_wrapper.get('constructor'):  # one of its own has its own rules
        multipliers = dict(cfg.optim_wrapper.get('paramwise_cfg') or {})
        rules = {part: dict(lr_mult=HEAD_RATE) for part in heads} | (multipliers.get('custom_keys') or {})
        cfg.optim_wrapper.paramwise_cfg = dict(multipliers, custom_keys=rules)
    cfg.optim_wrapper.clip_grad = dict(max_norm=GRADIENT_NORM)
