"""Random initialisation, the same numbers from a seed whatever the version of torch."""

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def trunc_normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill with normal numbers of mean 0, truncated at ±2, in place.

    One uniform number makes one element, as in timm. What `torch.nn.init.trunc_normal_` makes of a seed
    depends on the version of torch.
    """
    if tensor.is_meta:
        return tensor
    bound = math.erf(2 / std / math.sqrt(2))
    tensor.uniform_(-bound, bound).erfinv_().mul_(std * math.sqrt(2))
    return tensor.clamp_(-2, 2)  # −∞, too, which a uniform −1 has become, one number in 2²⁴


def init_linear(layer: nn.Linear | nn.Conv2d) -> None:
    """As most papers begin: truncated normal weights of standard deviation 0.02, zero biases."""
    trunc_normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
