"""`--arch NAME`: another variant of a config's backbone, with the neck's and the heads' numbers following."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from ..backbones.pyramid import Pyramid
from .errors import UserError


def set_arch(cfg: Config, arch: str) -> None:
    """Set the backbone's variant, and every list of channels that repeated the old one's.

    Raises:
        UserError: the backbone has no such variant, or is none of ours.
    """
    backbone = cfg.model.backbone
    # a class in a Python-style config, a name in a text one
    kind = MODELS.get(backbone.type) if isinstance(backbone.type, str) else backbone.type
    if kind is None or not issubclass(kind, Pyramid):
        raise UserError(f'--arch: {getattr(kind, "__name__", backbone.type)} has no variants by name')
    before = _channels(kind, backbone)
    backbone.arch = arch
    try:
        after = _channels(kind, backbone)
    except ValueError as error:
        raise UserError(f'--arch: {error}') from error
    for name, part in cfg.model.items():
        if name != 'backbone':
            _replace(part, before, after)


def _channels(kind: type[Pyramid], backbone: dict) -> list[int]:
    arguments = {k: v for k, v in backbone.items() if k not in ('type', 'init_cfg')}
    with torch.device('meta'):  # shapes without weights
        return kind(**arguments).channels


def _replace(node: Any, before: list[int], after: list[int]) -> None:
    """In place, the lists alone: a class, once assigned to a config, is not dumped as text that reloads."""
    if isinstance(node, (list, tuple)):
        for value in node:
            _replace(value, before, after)
    elif isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, (list, tuple)) and list(value) == before:
                node[key] = after
            else:
                _replace(value, before, after)
