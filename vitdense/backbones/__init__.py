"""The backbones, one file per paper; importing registers them in MMEngine's root registry."""

from .dualtoken_vit import DualTokenViT
from .hatnet import HATNet
from .pit import PiT
from .supervit import SuperViT
from .transcnn import TransCNN
from .vvt import VVT

__all__ = ['VVT', 'DualTokenViT', 'HATNet', 'PiT', 'SuperViT', 'TransCNN']
