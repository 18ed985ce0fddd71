"""The image sizes of a config, as one's own images need them."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config

from ..config.settings import LOADERS
from ..config.tree import dicts, in_pixels
from .formats.records import Record


def fit_sizes(cfg: Config, records: list[Record], size: int | None) -> Iterator[str]:
    """The config's image sizes, made smaller where nearly all images are smaller, or to the wanted one."""
    sides = np.array([sorted(record.size) for record in records])
    shorter, longer = np.percentile(sides, 90, axis=0)
    scales = [part['scale'] for part in dicts(cfg.val_dataloader) if 'scale' in part]
    if not scales:
        return
    most = sorted(pair(scales[0]), reverse=True)
    factor = size / most[1] if size else min(1.0, max(longer / most[0], shorter / most[1]))
    crops = any('crop_size' in part for part in dicts(cfg.train_dataloader))
    if crops and not size:
        factor = min(1.0, shorter / most[1])
    if abs(factor - 1) > 1e-9:
        scaled_sizes(cfg, factor)
    long, short = (max(32, round(side * factor)) for side in most)
    medians = ' × '.join(f'{np.median(side):.0f}' for side in sides.T[::-1])
    yield f'{medians} in the median; at most {long} × {short} here' + (' (--size)' if size else '')


def test_size(cfg: Config, size: int | tuple[int, int]) -> Config:
    """A copy of a config whose tested images have a shorter side of `size` pixels at most, or this (W, H)."""
    cfg = copy.deepcopy(cfg)
    if isinstance(size, tuple):
        for part in dicts(cfg.test_dataloader):
            if 'scale' in part:
                part['scale'] = size
        return cfg
    scales = [part['scale'] for part in dicts(cfg.test_dataloader) if 'scale' in part]
    if scales:
        scaled_sizes(cfg, size / min(pair(scales[0])))
    return cfg


def pair(size: int | Sequence[int]) -> tuple[int, ...]:
    """A size as OpenMMLab's transforms take it: one number is of both sides."""
    return (size, size) if isinstance(size, int) else tuple(size)


def scaled_sizes(cfg: Config, factor: float) -> None:
    """All sizes in pixels of the pipelines and of the model's preprocessing, in place."""
    parts = [cfg[loader].dataset for loader in LOADERS]
    parts += [cfg.model.data_preprocessor, cfg.get('tta_pipeline') or {}]
    parts += [hook.get('switch_pipeline') for hook in cfg.get('custom_hooks') or ()]
    for part in dicts(parts):
        for key in ('scale', 'img_scale', 'scales', 'random_size_range', 'crop_size', 'size'):
            if key in part and in_pixels(part[key]):
                part[key] = _scaled(part[key], factor, 32 if key in ('crop_size', 'size') else 1)
        if min(border := np.ravel(part.get('border', 0))) < 0:  # of a mosaic, which is twice as large
            part['border'] = tuple(round(side * factor) for side in border.tolist())
    for part in dicts(cfg.model):
        if part.get('mode') == 'slide':
            for key in ('crop_size', 'stride'):
                part[key] = _scaled(part[key], factor, 32 if key == 'crop_size' else 1)


def _scaled(size: Any, factor: float, step: int) -> Any:
    if isinstance(size, (list, tuple)):
        return type(size)(_scaled(one, factor, step) for one in size)
    return max(step, round(size * factor / step) * step)
