"""A part that can be put into a trained network: at first it changes nothing of what that computes."""

import torch
from torch import Tensor, nn

from ..layers.init import init_linear


class ResidualPart(nn.Module):
    """x + scale · branch(x), with a learned scale per channel that starts at zero.

    At first the part is the identity, exactly: a trained network keeps its outputs and its score, and the
    optimizer finds out how much of the branch it wants. A last layer of zeros would do the same, but vicinity
    attention has no gradient where its projection is zero.

    Source: T. Bachlechner, B. P. Majumder, H. Mao, G. Cottrell, J. McAuley, "ReZero is All You Need", arXiv
    2003.04887; per channel as in H. Touvron, M. Cord, A. Sablayrolles, G. Synnaeve, H. Jégou, "Going deeper
    with Image Transformers", arXiv 2103.17239, section 2.1.

    Args:
        in_channels: C.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(in_channels, 1, 1))

    def branch(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape and dtype, for any H and W."""
        return (x + self.scale * self.branch(x)).to(x.dtype)

    def init_weights(self) -> None:
        """The weights of the start; MMEngine calls it after a ResNet has initialized all that is in it."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                init_linear(module)
            elif isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
                module.reset_parameters()
        nn.init.zeros_(self.scale)


def heads_of(channels: int, head_dim: int) -> int:
    """How many heads channels make.

    Raises:
        ValueError: they are no multiple of a head's.
    """
    if head_dim < 1 or channels < 1 or channels % head_dim:
        raise ValueError(f'head_dim={head_dim}: expected a divisor of the {channels} channels that attend')
    return channels // head_dim
