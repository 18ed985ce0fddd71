"""The backbones, one file per paper; importing registers them in MMEngine's root registry."""

from .transcnn import TransCNN

__all__ = ['TransCNN']
