"""The backbones, one file per paper; importing registers them in MMEngine's root registry."""

from .hatnet import HATNet
from .transcnn import TransCNN
from .vvt import VVT

__all__ = ['VVT', 'HATNet', 'TransCNN']
