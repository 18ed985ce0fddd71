"""Several processes have one model: before it is used or kept, their batch norms' statistics become one.

Each norm's running mean and variance are of the images that its own process saw, and nothing in training
depends on them. Their mean over the processes is what a validation and a checkpoint get.
"""

from typing import Any

from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm


def average_statistics(model: nn.Module) -> None:
    """In place; all processes have to call it. Synchronised norms have the same everywhere."""
    if get_world_size() == 1:
        return
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm) and module.training
    ]
    running: list[Any] = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    if running := [value for value in running if value is not None]:
        all_reduce_params(running, op='mean')


class MeanNormsHook(Hook):
    """Before a validation; a runner does so before it saves."""

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner: Runner) -> None:
        average_statistics(runner.model)
