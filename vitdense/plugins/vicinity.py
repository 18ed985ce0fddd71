"""Vicinity attention of VVT as a part of other networks."""

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers import vicinity
from .residual import ResidualPart, heads_of


@MODELS.register_module(force=True)
class VicinityAttention(ResidualPart):
    """x + scale · attention(norm(x)): `layers.vicinity.VicinityAttention` behind VVT's layer norm.

    Its cost is linear in the number of pixels.

    Args:
        in_channels: C.
        head_dim: channels of a head, of the C/`feature_reduction` that attend; VVT has 32 to 48.
        feature_reduction, gate_reduction: divisors of C, as VVT has them.

    Raises:
        ValueError: C is no multiple of both divisors, or C/`feature_reduction` none of `head_dim`.
    """

    def __init__(
        self, in_channels: int, head_dim: int = 32, feature_reduction: int = 2, gate_reduction: int = 1
    ):
        super().__init__(in_channels)
        for name, divisor in dict(feature_reduction=feature_reduction, gate_reduction=gate_reduction).items():
            if divisor < 1 or in_channels % divisor:
                raise ValueError(f'{name}={divisor}: expected a divisor of the {in_channels} channels')
        heads = heads_of(in_channels // feature_reduction, head_dim)
        self.norm = nn.LayerNorm(in_channels, eps=1e-6)
        self.attn = vicinity.VicinityAttention(in_channels, heads, feature_reduction, gate_reduction)
        self.init_weights()

    def branch(self, x: Tensor) -> Tensor:
        return self.attn(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
