"""A linear layer for maps. To hooks, quantisation or LoRA it is an `nn.Linear` like any other."""

import torch.nn.functional as F
from torch import Tensor, nn


class PointwiseLinear(nn.Linear):
    """A linear layer at each pixel, computed as a 1×1 convolution, which adds its bias as it goes.

    `nn.Linear` on the CPU first fills its output with the bias: in VVT, the largest map of the network.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C')."""
        x = F.conv2d(x.permute(0, 3, 1, 2), self.weight[..., None, None], self.bias)
        return x.permute(0, 2, 3, 1)
