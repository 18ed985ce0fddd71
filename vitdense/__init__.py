"""Light vision transformers as backbones for detection and segmentation.

Importing the package registers everything with MMEngine:
`custom_imports = dict(imports=['vitdense'])` is all that a config needs.
"""

from importlib import import_module
from typing import Any

from . import mmcv_ops, mmcv_version, old_names, registered

mmcv_ops.install()  # before anything imports mmcv.ops
mmcv_version.install()
old_names.install()
registered.register()

__version__ = '0.1.0'
__all__ = ['backbones', 'checkpoint', 'load', 'necks', 'plugins']


def __getattr__(name: str) -> Any:
    if name == 'load':
        return import_module(f'{__name__}.predict.load').load
    if name in __all__:  # when they are used: they import torch
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
