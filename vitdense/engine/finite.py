"""A loss or a gradient that is not finite stops the run before a weight changes, and its batch is saved."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from ..console import display_path, make_console, say
from ..data.batch import plain
from ..errors import NotFinite
from ..findings import first_few
from .processes import unwrapped

FOLDER = 'not_finite'


class FiniteHook(Hook):
    """Checks each loss before the backward pass, and its gradients before the optimizer step.

    MMDetection's CheckInvalidLossHook looks at some of the losses, when the step is taken already.

    A loss scale for float16 finds gradients that are not finite itself, skips the step and becomes smaller.

    Args:
        skips: how many such iterations are skipped, without a step, before the next one stops the run.
    """

    def __init__(self, skips: int = 0):
        self.left = skips
        self.batch: Any = None

    def before_train(self, runner: Runner) -> None:
        model, optimizer = unwrapped(runner), runner.optim_wrapper
        parse, update, step = model.parse_losses, optimizer.update_params, optimizer.step
        losses: dict[str, Tensor] = {}

        def parse_losses(raw: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
            total, by_name = parse(raw)
            losses.clear()
            losses.update((name, value.detach()) for name, value in by_name.items())
            return total, by_name

        def update_params(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            bad = ~torch.isfinite(loss.detach())
            if not _anywhere(bad):
                update(loss, *args, **kwargs)
                return
            where = 'in another process'
            if bad:
                where = _not_finite(losses) + self._save(runner, losses, _gradients_of(loss, model))
            self._skip(runner, f'the loss is not finite: {where}')

        def take_step(**kwargs: Any) -> None:
            gradients = {name: _local(p.grad) for name, p in model.named_parameters() if p.grad is not None}
            bad = ~torch.isfinite(get_total_norm(list(gradients.values())))
            if not _anywhere(bad):
                step(**kwargs)
                return
            where = 'in another process'
            if bad:
                norms = {name: float(gradient.norm()) for name, gradient in gradients.items()}
                where = _not_finite(norms) + self._save(runner, losses, norms)
            self._skip(runner, f'the loss is finite, its gradient is not: {where}')

        model.parse_losses, optimizer.update_params = parse_losses, update_params
        scaler = getattr(optimizer, 'loss_scaler', None)
        if scaler is None or not scaler.is_enabled():
            optimizer.step = take_step

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.batch = data_batch

    def _save(self, runner: Runner, losses: Mapping[str, Tensor], gradients: Mapping[str, float]) -> str:
        """Write the batch, the losses and the gradients to a file; in words, where."""
        path = Path(runner.work_dir, FOLDER, f'iter_{runner.iter + 1}_rank_{runner.rank}.pth')
        path.parent.mkdir(parents=True, exist_ok=True)
        by_name = {name: float(value) for name, value in losses.items()}
        try:
            torch.save(dict(losses=by_name, gradients=dict(gradients), batch=plain(self.batch)), path)
        except (OSError, RuntimeError) as error:  # torch's of a full disk
            return f'; the batch could not be written to {display_path(path)}: {str(error).splitlines()[0]}'
        return f'; batch, losses and gradient norms in {display_path(path)}'

    def _skip(self, runner: Runner, which: str) -> None:
        what = f'iteration {runner.iter + 1}: {which}'
        if not self.left:
            raise NotFinite(what)
        self.left -= 1
        runner.logger.warning(what)
        say(make_console(), 'skipped', f'{what}; up to {self.left} more are skipped', 'bold yellow')


def _anywhere(bad: Tensor) -> bool:
    """Whether it is bad in any process: a step is taken by all or by none."""
    anywhere = bad.int()
    all_reduce(anywhere, 'max')
    return bool(anywhere)


def _local(gradient: Tensor) -> Tensor:
    """The part of a sharded gradient that this process has."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _not_finite(values: Mapping[str, Any]) -> str:
    return first_few(f'{name} {float(value)}' for name, value in values.items() if not math.isfinite(value))


def _gradients_of(loss: Tensor, model: torch.nn.Module) -> dict[str, float]:
    """Norm of the gradient of each parameter; none where the loss cannot be differentiated.

    Nor of a sharded model: the other processes would have to take part.
    """
    if isinstance(model, FSDPModule):
        return {}
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    try:
        grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    except RuntimeError:
        return {}
    return {name: float(g.norm()) for name, g in zip(named, grads, strict=True) if g is not None}
