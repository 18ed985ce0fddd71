"""`--amp` on any device: bfloat16 on a CPU, float16 with a scaled loss on a GPU."""

from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward passes under bfloat16 autocast on the CPU, where MMEngine's own wrapper refuses to run.

    bfloat16 has float32's range, so the loss needs no scaling.
    """

    precision = 'bfloat16 autocast'

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
class Float16OptimWrapper(AmpOptimWrapper):
    """MMEngine's wrapper for CUDA with a dynamic loss scale."""

    precision = 'float16 autocast'

    def __init__(self, **kwargs: Any):
        super().__init__(loss_scale='dynamic', **kwargs)


def use_amp(cfg: Config) -> None:
    """Train this config in mixed precision on the device that there is."""
    wrapper = Float16OptimWrapper if torch.cuda.is_available() else BFloat16OptimWrapper
    # by name, because the text of a config, to which it is dumped, holds no classes
    cfg.optim_wrapper.type = f'{wrapper.__module__}.{wrapper.__name__}'
