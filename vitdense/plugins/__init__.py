"""The papers' attention as parts of other networks, such as the ResNets of the OpenMMLab libraries."""

from .hierarchical import HierarchicalAttention
from .plugged_backbone import PluggedBackbone
from .vicinity import VicinityAttention

__all__ = ['HierarchicalAttention', 'PluggedBackbone', 'VicinityAttention']
