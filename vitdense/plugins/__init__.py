"""The papers' attention as parts of other networks: plug-ins of MMDetection's and MMSegmentation's ResNets."""

from .hierarchical import HierarchicalAttention
from .plugged_backbone import PluggedBackbone
from .vicinity import VicinityAttention

__all__ = ['HierarchicalAttention', 'PluggedBackbone', 'VicinityAttention']
