"""`--amp` on any device: bfloat16 on a CPU, float16 with a scaled loss on a GPU."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.utils._pytree import tree_map

# What a detector or a segmentor calls between an image and its predictions.
NETWORKS = ('backbone', 'neck', 'rpn_head', 'bbox_head', 'mask_head', 'decode_head')


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward passes under bfloat16 autocast on the CPU, where MMEngine's own wrapper refuses to run.

    bfloat16 has float32's range, so the loss needs no scaling.
    """

    precision = 'bfloat16 autocast'

    @contextmanager
    def optim_context(self, model: nn.Module):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
class Float16OptimWrapper(AmpOptimWrapper):
    """MMEngine's wrapper for CUDA with a dynamic loss scale."""

    precision = 'float16 autocast'

    def __init__(self, **kwargs: Any):
        super().__init__(loss_scale='dynamic', **kwargs)


def autocast_here() -> torch.autocast:
    """The one for the device that there is."""
    if torch.cuda.is_available():
        return torch.autocast('cuda', torch.float16)
    return torch.autocast('cpu', torch.bfloat16)


def wrapper_here() -> type[OptimWrapper]:
    """The one for the device that there is."""
    return Float16OptimWrapper if torch.cuda.is_available() else BFloat16OptimWrapper


def train_in_amp(cfg: Config) -> None:
    """Train this config in mixed precision; it is validated in float32."""
    wrapper = wrapper_here()
    # by name, because the text of a config, to which it is dumped, holds no classes
    cfg.optim_wrapper.type = f'{wrapper.__module__}.{wrapper.__name__}'


def predict_in_amp(model: nn.Module, autocast: AbstractContextManager) -> None:
    """Have a model's networks compute under autocast, and what is made of their answers in float32.

    Not the whole prediction, as MMEngine's loops have it: bfloat16 places the boxes of a large image to
    several pixels.
    """
    for owner in model.modules():
        for name in NETWORKS:
            part = owner._modules.get(name)
            for network in part if isinstance(part, nn.ModuleList) else [part] if part else []:
                network.forward = _mixed(network.forward, autocast)


def _mixed(forward: Callable, autocast: AbstractContextManager) -> Callable:
    @wraps(forward)
    def mixed(*args: Any, **kwargs: Any) -> Any:
        with autocast:
            answers = forward(*args, **kwargs)
        return tree_map(
            lambda x: x.float() if isinstance(x, Tensor) and x.is_floating_point() else x, answers
        )

    return mixed


def is_mixed(model: nn.Module) -> bool:
    """Whether `predict_in_amp` was here."""
    return hasattr(model.backbone.forward, '__wrapped__')
