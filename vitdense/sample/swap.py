"""`--sample`: a config as it is, but on the sample world.

Data, classes, image size, batch and schedule change; the model, its heads and the pipelines stay.
"""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from . import CLASSES, SIZE, THING_PALETTE, root

BATCH = 8
ITERATIONS = 500
VALIDATIONS = 2  # the last at the end
LEARNING_RATE = 2.5e-4
GRADIENT_NORM = 1.0  # the heads have no norms: from scratch, larger steps throw them back
WARM_UP = 50  # iterations


def swap_in(cfg: Config) -> None:
    """Put the sample world in place of the config's data, in place.

    The detectors' data only: COCO's layout.
    """
    coco = root() / 'coco'
    metainfo = dict(classes=CLASSES, palette=list(THING_PALETTE))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].dataset.update(data_root=f'{coco}/', metainfo=metainfo)
        for transform in cfg[name].dataset.pipeline:
            if 'scale' in transform:
                transform.scale = (SIZE, SIZE)
    for name in ('val', 'test'):
        cfg[f'{name}_evaluator'].ann_file = f'{coco}/annotations/instances_val2017.json'
    for head in _dicts(cfg.model):
        if 'num_classes' in head:
            head['num_classes'] = len(CLASSES)

    # images of one shape need no sorting, and a sampler without end no new start after each epoch
    sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_dataloader.update(batch_size=BATCH, sampler=sampler, batch_sampler=None)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=ITERATIONS, val_interval=ITERATIONS // VALIDATIONS
    )
    cfg.optim_wrapper.optimizer.lr = LEARNING_RATE
    cfg.optim_wrapper.clip_grad = dict(max_norm=GRADIENT_NORM)
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=WARM_UP),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=WARM_UP, end=ITERATIONS, eta_min_ratio=0.01),
    ]
    cfg.log_processor.by_epoch = False
    cfg.default_hooks.logger.interval = 10
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=ITERATIONS // VALIDATIONS, max_keep_ckpts=1)


def _dicts(node: Any) -> Iterator[dict]:
    """Every dict in a tree of dicts and lists."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _dicts(child)
