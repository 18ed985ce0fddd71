"""What some backbones need between them and a head that MMDetection lacks."""

from .extra_level_fpn import ExtraLevelFPN

__all__ = ['ExtraLevelFPN']
