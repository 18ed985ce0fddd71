"""`--arch NAME`: another variant of the backbone, and what repeats its numbers or goes with it."""

from fractions import Fraction
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from ..backbones.pyramid import Pyramid
from ..errors import UserError
from ..registered import import_all
from .drop_path import follow_variant

import_all()  # so that a name is its class


def set_arch(cfg: Config, arch: str) -> None:
    """Set the backbone's variant, and every number of channels and strides that repeated the old one's.

    Its published rate of stochastic depth follows, too, where the config has a table of them.

    Raises:
        UserError: the backbone has no such variant, or is none of ours.
    """
    backbone = cfg.model.backbone
    kind = _kind(cfg)
    if not has_variants(cfg):
        raise UserError(f'--arch: {getattr(kind, "__name__", backbone.type)} has no variants by name')
    try:
        before = _build(kind, backbone)
        backbone.arch = arch
        after = _build(kind, backbone)
    except (TypeError, ValueError) as error:
        raise UserError(f'--arch: {error}') from error
    follow_variant(cfg, arch.lower())
    chosen = cfg.model.get('neck') is None  # behind a neck, heads choose among its levels
    for name, part in cfg.model.items():
        if name != 'backbone':
            _follow(part, before, after, chosen)


def has_variants(cfg: Config) -> bool:
    """Whether the backbone is one of ours."""
    kind = _kind(cfg)
    return isinstance(kind, type) and issubclass(kind, Pyramid)


def _kind(cfg: Config) -> Any:
    """The backbone's class, which a Python-style config holds, and a text one names."""
    kind = (cfg.model.get('backbone') or {}).get('type')
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _build(kind: type[Pyramid], backbone: dict) -> Pyramid:
    arguments = {k: v for k, v in backbone.items() if k not in ('type', 'init_cfg')}
    with torch.device('meta'):  # shapes without weights
        return kind(**arguments)


def _follow(node: Any, before: Pyramid, after: Pyramid, chosen: bool) -> None:
    """In place, the numbers alone: a class, once assigned to a config, is not dumped as text that reloads."""
    if isinstance(node, (list, tuple)):
        for value in node:
            _follow(value, before, after, chosen)
    elif isinstance(node, dict):
        for key, value in node.items():
            if chosen and key == 'in_channels' and 'in_index' in node:  # a segmentation head's choice of maps
                node[key] = _chosen(after.channels, node['in_index'])
            elif isinstance(value, (list, tuple)) and list(value) == before.channels:
                node[key] = after.channels
            elif key in ('strides', 'featmap_strides'):  # of anchors, of regions of interest
                node[key] = [
                    _number(stride * Fraction(after.strides[0], before.strides[0])) for stride in value
                ]
            else:
                _follow(value, before, after, chosen)


def _chosen(channels: list[int], index: int | list[int]) -> int | list[int]:
    return channels[index] if isinstance(index, int) else [channels[i] for i in index]


def _number(number: Fraction) -> int | float:
    return int(number) if number == int(number) else float(number)
