"""Batch size, epochs and learning rate of a training on one's own images."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config

from ..config.drop_path import keep_every_path
from ..config.tree import name_of
from ..console import plural
from ..findings import Finding, Level
from .formats.records import Annotations
from .scratch import GRADIENT_NORM, initialize_heads, rate_for, set_optimizer
from .scratch import WARM_UP as SCRATCH_WARM_UP

ITERATIONS = 2000  # that a training of few images takes at least, if that is not more than MOST_EPOCHS
EPOCHS = (12, 300)  # at least, and at most
VALIDATIONS = 10
WARM_UP = 100  # iterations, from pretrained weights


@dataclass
class Wanted:
    """What the command line asks of a training; None for what follows from the data.

    pretrained: whether the run starts from weights.
    augment: 'light', 'strong', or the config's own transforms.
    rate: a learning rate that an option sets, after what is decided here.
    """

    epochs: int | None = None
    batch: int | None = None
    pretrained: bool = False
    augment: str | None = None
    rate: float | None = None


def fit_schedule(cfg: Config, found: Annotations, wanted: Wanted, images: int) -> Iterator[Finding]:
    """Epochs from the number of images; the learning rate from the batch size, warm-up and a cosine.

    `images` are those of an epoch: more than there are, where some come several times.
    """
    processes = int(os.environ.get('WORLD_SIZE', 1))  # as torchrun says
    own = math.ceil(images / processes)  # images of each
    batch = min(wanted.batch or cfg.train_dataloader.batch_size, own)
    together = batch * processes
    least, most = EPOCHS
    epochs = wanted.epochs or min(most, max(least, math.ceil(ITERATIONS * together / images)))
    per_epoch = math.ceil(own / batch)
    every = max(1, epochs // VALIDATIONS)
    text = f'{epochs} epochs of {images} images, batch size {together}: {epochs * per_epoch} iterations; '
    yield Finding('schedule', text + f'a validation every {plural(every, "epoch")}')
    cfg.train_dataloader.update(batch_size=batch)
    cfg.train_dataloader.sampler = dict(type='mmengine.dataset.DefaultSampler', shuffle=True)
    if found.is_label_maps:
        cfg.train_dataloader.pop('batch_sampler', None)
        # a batch norm behind a pooling to one pixel needs two images
        cfg.train_dataloader.drop_last = own > batch > 1 == own % batch
    cfg.train_cfg = dict(type='mmengine.runner.EpochBasedTrainLoop', max_epochs=epochs, val_interval=every)
    text, warm_up = _rates(cfg, together, wanted)
    yield Finding('schedule', text)
    if not wanted.pretrained:
        text = (
            f'from scratch on {plural(images, "image")}, expect little; --weights, --init: start from a file'
        )
        yield Finding('weights', text, Level.WARNING)
    end = max(1, min(warm_up, epochs * per_epoch // 3))
    if wanted.pretrained:
        hook = dict(type='vitdense.engine.frozen_first.FrozenFirstHook', iterations=end)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
        cfg.find_unused_parameters = True
        text = (
            f'the backbone keeps its weights for the first {plural(end, "iteration")}, while the heads adapt'
        )
        yield Finding('schedule', text)
    cfg.param_scheduler = [
        dict(type='mmengine.optim.LinearLR', by_epoch=False, start_factor=0.01, begin=0, end=end),
        dict(
            type='mmengine.optim.CosineAnnealingLR',
            by_epoch=True,
            convert_to_iter_based=True,
            eta_min_ratio=0.01,
            begin=0,
            end=epochs,
            T_max=epochs,
        ),
    ]
    cfg.log_processor.by_epoch = True
    cfg.default_hooks.logger.update(interval=max(1, min(10, per_epoch)), log_metric_by_epoch=True)
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=every, max_keep_ckpts=2)


def _rates(cfg: Config, batch: int, wanted: Wanted) -> tuple[str, int]:
    """Set the learning rates; what to say about them, and the iterations of the warm-up."""
    base = (cfg.pop('auto_scale_lr', None) or {}).get('base_batch_size', 16)
    optimizer = cfg.optim_wrapper.optimizer
    if not wanted.pretrained:
        initialize_heads(cfg)
        set_optimizer(cfg, rate_for(batch))
        text = f'learning rate {optimizer.lr:.3g}, of a training from scratch with batch size {batch}'
        text = _given(wanted) or text
        return text + '; no stochastic depth' * keep_every_path(cfg), SCRATCH_WARM_UP
    before, optimizer.lr = optimizer.lr, optimizer.lr * math.sqrt(batch / base)
    cfg.optim_wrapper.setdefault('clip_grad', dict(max_norm=GRADIENT_NORM))
    text = f'learning rate {optimizer.lr:.3g} with batch size {batch} ({before:g} with {base}, by the root)'
    of_heads = rate_for(batch)
    if 'Adam' in name_of(optimizer) and of_heads > optimizer.lr and wanted.rate is None:
        _multiply_heads(cfg, of_heads / optimizer.lr)
        text += f', of neck and heads {of_heads:.3g}'
    return _given(wanted) or text, WARM_UP


def _given(wanted: Wanted) -> str:
    return '' if wanted.rate is None else f'learning rate {wanted.rate:g}, as given'


def _multiply_heads(cfg: Config, factor: float) -> None:
    """Let neck and heads learn quicker than the backbone, in place, as MMSegmentation's configs do."""
    paramwise = cfg.optim_wrapper.get('paramwise_cfg') or {}
    groups = dict(paramwise.get('custom_keys') or {})
    for name in ('neck', 'head'):  # parts of parameters' names
        groups.setdefault(name, dict(lr_mult=factor))
    cfg.optim_wrapper.paramwise_cfg = dict(paramwise, custom_keys=groups)
