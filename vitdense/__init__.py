"""Light vision transformers as backbones for detection and segmentation.

Importing the package registers everything with MMEngine:
`custom_imports = dict(imports=['vitdense'])` is all that a config needs.
"""

from . import mmcv_ops

mmcv_ops.install()  # before anything imports mmcv.ops

from . import backbones, checkpoint, necks  # noqa: E402

__version__ = '0.1.0'
__all__ = ['backbones', 'checkpoint', 'necks']
