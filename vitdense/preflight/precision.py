"""What mixed precision brings on this processor: without matrix units, bfloat16 takes longer than float32."""

from collections.abc import Iterator
from contextlib import nullcontext
from statistics import median
from time import perf_counter
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import Tensor, nn

from ..compat import uncompiled
from ..data.reproducible import seeded
from ..engine.precision import exact_networks
from ..engine.processes import unwrapped
from ..findings import Finding, Level
from ..model_state import unlearned

IMAGES, SIDE = 2, 128
ROUNDS = 3
NOISE = 1.05  # times as long, which says nothing


def training_precision(runner: Runner) -> Iterator[Finding]:
    """The time of a training step of the backbone in the run's precision, as a multiple of float32's."""
    yield from _precision(runner, training=True)


def test_precision(runner: Runner) -> Iterator[Finding]:
    """The same of a forward pass."""
    yield from _precision(runner, training=False)


def _precision(runner: Runner, training: bool) -> Iterator[Finding]:
    amp, model = runner.cfg.get('amp'), unwrapped(runner)
    if not amp or get_device() != 'cpu':
        return
    # a model that is tested is evaluated next, and with folded batch norms it cannot go back to training
    mode = unlearned(model) if training else nullcontext(model.eval())
    with mode, seeded(runner.seed), uncompiled():
        image = torch.rand(IMAGES, 3, SIDE, SIDE)
        ratio = _ratio(model, image, training)
    what = 'a training step' if training else 'a forward pass'
    text = f'{amp} takes {ratio:.2f} times as long as float32 here ({what} of the backbone)'
    slower = ratio > NOISE
    hint = '; without --amp this run is faster' if slower else ''
    yield Finding('amp', text + hint, Level.WARNING if slower else Level.FACT)


def _ratio(model: Any, image: Tensor, training: bool) -> float:
    """In turns, so that another process slows down both."""
    ratios = []
    for _ in range(1 + ROUNDS):  # the first of which loads the kernels
        mixed = _seconds(model.backbone, image, training)
        with exact_networks(model):
            ratios.append(mixed / _seconds(model.backbone, image, training))
    return median(ratios[1:])


def _seconds(backbone: nn.Module, image: Tensor, training: bool) -> float:
    start = perf_counter()
    with torch.set_grad_enabled(training):
        total: Any = sum(m.sum() for m in backbone(image))
        if total.requires_grad:  # not of a frozen backbone
            total.backward()
    return perf_counter() - start
