"""Necks that MMDetection lacks and some of the backbones need."""

from .extra_level_fpn import ExtraLevelFPN

__all__ = ['ExtraLevelFPN']
