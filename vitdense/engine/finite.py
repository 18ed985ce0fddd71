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
from torch.distributed.tensor import DTensor

from ..compat import is_sharded, total_norm
from ..console import display_path, make_console, say
from ..data.batch import plain
from ..errors import NotFinite
from ..findings import first_few
from ..mmengine_internals import optim_wrappers
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
        model, parse = unwrapped(runner), unwrapped(runner).parse_losses
        losses: dict[str, Tensor] = {}

        def parse_losses(raw: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
            total, by_name = parse(raw)
            losses.clear()
            losses.update((name, value.detach()) for name, value in by_name.items())
            return total, by_name

        model.parse_losses = parse_losses
        for optimizer in optim_wrappers(runner.optim_wrapper).values():
            self._watch(runner, model, optimizer, losses)

    def _watch(self, runner: Runner, model: Any, optimizer: Any, losses: Mapping[str, Tensor]) -> None:
        update, step = optimizer.update_params, optimizer.step

        def update_params(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            bad = ~torch.isfinite(loss.detach())
            if not _anywhere(bad):
                update(loss, *args, **kwargs)
                return
            gradients = _gradients_of(loss, model) if bad else {}
            self._skip(runner, 'the loss is not finite', bad, losses, losses, gradients)

        def take_step(**kwargs: Any) -> None:
            gradients = {name: _local(p.grad) for name, p in model.named_parameters() if p.grad is not None}
            bad = ~torch.isfinite(total_norm(list(gradients.values())))
            if not _anywhere(bad):
                step(**kwargs)
                return
            norms = {name: float(gradient.norm()) for name, gradient in gradients.items()}
            what = 'the loss is finite, its gradient is not' if losses else 'the gradient is not finite'
            self._skip(runner, what, bad, norms, losses, norms)

        optimizer.update_params = update_params
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
        saved = dict(losses=by_name, gradients=dict(gradients), batch=plain(self.batch))
        try:
            with path.open('wb') as file:  # opened by torch 2.8 itself, a full disk would raise nothing
                torch.save(saved, file)
        except (OSError, RuntimeError) as error:  # torch's of a full disk
            return f'; the batch could not be written to {display_path(path)}: {str(error).splitlines()[0]}'
        return f'; batch, losses and gradient norms in {display_path(path)}'

    def _skip(
        self, runner: Runner, which: str, bad: Tensor, values: Mapping, losses: Mapping, gradients: Mapping
    ) -> None:
        here = _not_finite(values) + self._save(runner, losses, gradients) if bad else 'in another process'
        what = f'iteration {runner.iter + 1}: {which}: {here}'
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
    if is_sharded(model):
        return {}
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    try:
        grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    except RuntimeError:
        return {}
    return {name: float(g.norm()) for name, g in zip(named, grads, strict=True) if g is not None}
