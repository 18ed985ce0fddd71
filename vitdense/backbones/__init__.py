"""The backbones, one file per paper, which is imported when its class is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dualtoken_vit import DualTokenViT as DualTokenViT
    from .hatnet import HATNet as HATNet
    from .pit import PiT as PiT
    from .supervit import SuperViT as SuperViT
    from .transcnn import TransCNN as TransCNN
    from .vvt import VVT as VVT

FILES = {
    'TransCNN': 'transcnn',
    'HATNet': 'hatnet',
    'VVT': 'vvt',
    'PiT': 'pit',
    'SuperViT': 'supervit',
    'DualTokenViT': 'dualtoken_vit',
}
__all__ = list(FILES)


def __getattr__(name: str) -> Any:
    if name in FILES:
        return getattr(import_module(f'{__name__}.{FILES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
