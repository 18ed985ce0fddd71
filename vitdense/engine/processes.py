"""Several processes that train one model: how they agree, and share what each of them measures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mmengine.dist import (
    all_reduce_dict,
    all_reduce_params,
    broadcast_object_list,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from ..compat import is_sharded
from ..errors import UserError

T = TypeVar('T')


def on_main_process(choose: Callable[[], T]) -> T:
    """What the main process chooses, on all processes: a file system may show them different files.

    Raises:
        UserError: which the main process met, on all.
    """
    outcome: list[Any] = [None, None]
    if is_main_process():
        try:
            outcome[0] = choose()
        except UserError as error:
            outcome[1] = str(error)
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise UserError(outcome[1])
    return outcome[0]


def unwrapped(runner: Any) -> Any:
    """A runner's model as it was built, without MMEngine's wrappers for several processes or views."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """For a while every process has all parameters of a sharded model, so that its parts can be called alone.

    Of a model that is not sharded, every process has them anyway.
    """
    if not is_sharded(model):
        yield
        return
    sharded: Any = model
    sharded.unshard()
    try:
        yield
    finally:
        sharded.reshard()


class MeanLossHook(Hook):
    """Averages the losses over the processes, before MMEngine's hooks log those of the first one."""

    priority = 'HIGHEST'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        if outputs and get_world_size() > 1:
            means = {name: value.detach().clone() for name, value in outputs.items()}
            all_reduce_dict(means, 'mean')
            outputs.update(means)


def average_statistics(model: nn.Module) -> None:
    """Average the batch norms' running statistics over the processes, in place; all have to call it.

    Each norm's mean and variance are of the images that its own process saw. Nothing in training depends on
    them; a validation and a checkpoint get their mean. Synchronised norms have the same everywhere.
    """
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


def average_statistics_of_run(runner: Any) -> None:
    """`average_statistics` of a run's model, and of an average of its weights that has its own."""
    average_statistics(runner.model)
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and hook.ema_model.update_buffers:
            average_statistics(hook.ema_model.module)


class MeanStatisticsHook(Hook):
    """`average_statistics_of_run` before a validation; the runner does it before it saves.

    MMEngine's SyncBuffersHook averages at the end of an epoch only, also the buffers that are no statistics.
    """

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner: Runner) -> None:
        average_statistics_of_run(runner)
