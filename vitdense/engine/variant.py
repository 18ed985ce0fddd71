"""`--arch NAME`: another variant of a config's backbone, with the neck's and the heads' numbers following."""

from typing import Any

import torch
from mmengine.config import Config

from ..backbones.pyramid import Pyramid
from .errors import UserError


def set_arch(cfg: Config, arch: str) -> None:
    """Set the backbone's variant, and every list of channels that repeated the old one's.

    Raises:
        UserError: the backbone has no such variant, or is none of ours.
    """
    backbone = cfg.model.backbone
    if not issubclass(backbone.type, Pyramid):
        raise UserError(f'--arch: {backbone.type.__name__} has no variants by name')
    before = _channels(backbone)
    backbone.arch = arch
    try:
        after = _channels(backbone)
    except ValueError as error:
        raise UserError(f'--arch: {error}') from error
    for name, part in cfg.model.items():
        if name != 'backbone':
            cfg.model[name] = _replaced(part, before, after)


def _channels(backbone: dict) -> list[int]:
    arguments = {k: v for k, v in backbone.items() if k not in ('type', 'init_cfg')}
    with torch.device('meta'):  # shapes without weights
        return backbone.type(**arguments).channels


def _replaced(node: Any, before: list[int], after: list[int]) -> Any:
    if isinstance(node, (list, tuple)) and list(node) == before:
        return after
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _replaced(value, before, after)
    return node
