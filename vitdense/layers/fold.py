"""Batch norms at inference, folded into the layers beside them: the same map in fewer passes over it."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_sequence(layers: nn.Sequential) -> None:
    """Fold every batch norm that follows a convolution, in place."""
    for i, (layer, norm) in enumerate(pairwise(list(layers)), 1):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            fold_after(layer, norm)
            layers[i] = nn.Identity()


def fold_after(conv: nn.Conv2d, norm: nn.Module) -> None:
    """norm(conv(x)) = conv'(x), for a batch norm: turn `conv` into conv', in place."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


@torch.no_grad()
def fold_before(norm: nn.Module, layer: nn.Linear | nn.Conv2d) -> None:
    """layer(norm(x)) = layer'(x), for a batch norm before a linear layer or a 1×1 convolution, in place."""
    scale, shift = _affine(norm)
    weight = layer.weight.flatten(1)  # (C', C)
    bias = weight @ shift
    layer.bias = nn.Parameter(bias if layer.bias is None else layer.bias + bias)
    layer.weight = nn.Parameter((weight * scale).reshape(layer.weight.shape))


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """norm(x) = scale · x + shift, for a batch norm at inference."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale
