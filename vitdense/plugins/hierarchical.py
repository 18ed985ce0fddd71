"""Hierarchical attention of TransCNN and HAT-Net as a part of other networks."""

from functools import partial

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers import hierarchical
from .residual import ResidualPart, heads_of


@MODELS.register_module(force=True)
class HierarchicalAttention(ResidualPart):
    """x + scale · attention(x): `layers.hierarchical.HierarchicalAttention` with HAT-Net's norm.

    That norm is over all of an image, as `GroupNorm` with one group. A batch norm, TransCNN's, would be left
    without statistics in the ResNets of MMDetection, which keep batch norms in eval mode.

    Args:
        in_channels: C, a multiple of `head_dim`.
        head_dim: channels of a head.
        grid_size, pool_ratio: sides of the grids and of the pooled windows, in pixels; TransCNN pools by 8,
            4, 2 and 1 in its four stages, of strides 4 to 32.

    Raises:
        ValueError: C is no multiple of `head_dim`.
    """

    def __init__(self, in_channels: int, head_dim: int = 64, grid_size: int = 8, pool_ratio: int = 4):
        super().__init__(in_channels)
        heads_of(in_channels, head_dim)
        norm = partial(nn.GroupNorm, 1)
        self.attn = hierarchical.HierarchicalAttention(in_channels, head_dim, grid_size, pool_ratio, norm)
        self.init_weights()

    def branch(self, x: Tensor) -> Tensor:
        return self.attn(x)
