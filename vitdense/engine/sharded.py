"""Weights, gradients and optimizer state sharded among the processes, by torch's `fully_shard`.

For what does not fit one GPU: `shard = True` in a config. A checkpoint holds everything whole, so that a run
can be resumed with any number of processes, sharded or not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..errors import UserError
from ..mmengine_internals import is_resuming
from .processes import average_statistics
from .runner import VitdenseRunner


class ShardedRunner(VitdenseRunner):
    """The runner of a config with `shard = True`."""

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> Any:
        """Initialize a model while it is whole, and shard it.

        The weights are gathered while a step is computed, gradients and optimizer state never.

        Raises:
            UserError: there is one process only.
        """
        if not self.distributed:
            raise UserError('shard=True shards a model among processes: start several, with --launcher')
        if sync := self.cfg.get('sync_bn'):
            model = convert_sync_batchnorm(model, sync)
        self.model = model.to(get_device())
        super()._init_model_weights()
        return fully_shard(model, mesh=init_device_mesh(get_device(), (get_world_size(),)))

    def _init_model_weights(self) -> None:
        """Already done in `wrap_model`."""

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        super().register_default_hooks(hooks)
        self.register_hook(WholeStateHook())

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        average_statistics(self.model)
        self.whole_state = _gathered(
            dict(state_dict=self.model.state_dict(), optimizer=self.optim_wrapper.state_dict())
        )
        super().save_checkpoint(*args, **kwargs)

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict:
        checkpoint = super().load_checkpoint(*args, **kwargs)
        if is_resuming(self):
            self._shard_optimizer_state(checkpoint['optimizer']['state'])
        return checkpoint

    def _copy_state(self, model: nn.Module, state: dict) -> None:
        with torch.no_grad():
            for name, own in model.state_dict().items():
                own.copy_(_distributed(state[name], own))
        self.weight_record.loaded.update((name, 1.0) for name, _ in model.named_parameters())

    def _whole_state(self, model: nn.Module) -> dict:
        return _gathered(model.state_dict())

    def _shard_optimizer_state(self, state: dict) -> None:
        groups = self.optim_wrapper.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group['params']]
        for number, moments in state.items():
            for name, value in moments.items():
                if getattr(value, 'shape', None) == parameters[number].shape:  # and no counter of steps
                    moments[name] = _distributed(value, parameters[number])


class WholeStateHook(Hook):
    """Puts whole tensors into a checkpoint, in place of the first process's parts."""

    def before_save_checkpoint(self, runner: ShardedRunner, checkpoint: dict) -> None:
        checkpoint.update(
            (key, runner.whole_state[key]) for key in runner.whole_state.keys() & checkpoint.keys()
        )


def _gathered(node: Any) -> Any:
    """A state dict with whole tensors on the CPU; every process has to call it."""
    if isinstance(node, Mapping):
        return {key: _gathered(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_gathered(value) for value in node]
    if isinstance(node, DTensor):
        node = node.full_tensor()
    return node.cpu() if isinstance(node, Tensor) else node


def _distributed(value: Tensor, own: Tensor) -> Tensor:
    value = value.to(own.device)
    return distribute_tensor(value, own.device_mesh, own.placements) if isinstance(own, DTensor) else value
