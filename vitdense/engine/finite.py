"""A loss or a gradient that is not finite stops the run before it touches a weight, and its batch is kept."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from ..console import make_console, say, shown
from .unwrap import unwrapped

FOLDER = 'not_finite'


class NotFinite(Exception):
    """A loss or a gradient was not finite. The tools exit with code 3."""


class FiniteHook(Hook):
    """Looks at each loss before the backward pass, and at its gradients before the step.

    A loss scale for float16 finds gradients that are not finite itself, leaves the step out and shrinks.

    Args:
        skipped: so many such iterations may pass without a step, before the next one stops the run.
    """

    def __init__(self, skipped: int = 0):
        self.left = skipped
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
                where = _named(losses) + self._save(runner, losses, _gradients_of(loss, model))
            self._leave(runner, f'the loss is not finite: {where}')

        def take_step(**kwargs: Any) -> None:
            gradients = {name: _own(p.grad) for name, p in model.named_parameters() if p.grad is not None}
            bad = ~torch.isfinite(get_total_norm(list(gradients.values())))
            if not _anywhere(bad):
                step(**kwargs)
                return
            where = 'in another process'
            if bad:
                norms = {name: float(gradient.norm()) for name, gradient in gradients.items()}
                where = _named(norms) + self._save(runner, losses, norms)
            self._leave(runner, f'the loss is finite, its gradient is not: {where}')

        model.parse_losses, optimizer.update_params = parse_losses, update_params
        scaler = getattr(optimizer, 'loss_scaler', None)
        if scaler is None or not scaler.is_enabled():
            optimizer.step = take_step

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.batch = data_batch

    def _save(self, runner: Runner, losses: Mapping[str, Tensor], gradients: Mapping[str, float]) -> str:
        """Write down the batch, the losses and the gradients; in words, where."""
        path = Path(runner.work_dir, FOLDER, f'iter_{runner.iter + 1}_rank_{runner.rank}.pth')
        path.parent.mkdir(parents=True, exist_ok=True)
        by_name = {name: float(value) for name, value in losses.items()}
        try:
            torch.save(dict(losses=by_name, gradients=dict(gradients), batch=plain(self.batch)), path)
        except (OSError, RuntimeError) as error:  # torch's of a full disk
            return f'; the batch could not be written to {shown(path)}: {str(error).splitlines()[0]}'
        return f'; batch, losses and gradient norms in {shown(path)}'

    def _leave(self, runner: Runner, which: str) -> None:
        what = f'iteration {runner.iter + 1}: {which}'
        if not self.left:
            raise NotFinite(what)
        self.left -= 1
        runner.logger.warning(what)
        say(make_console(), 'skipped', f'{what}; {self.left} more may be', 'bold yellow')


def _anywhere(bad: Tensor) -> bool:
    """Whether it is bad in any process: a step is taken by all or by none."""
    anywhere = bad.int()
    all_reduce(anywhere, 'max')
    return bool(anywhere)


def _own(gradient: Tensor) -> Tensor:
    """The part of this process, of a gradient that is shared out among several."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _named(values: Mapping[str, Any], most: int = 4) -> str:
    bad = [f'{name} {float(value)}' for name, value in values.items() if not math.isfinite(value)]
    more = f' and {len(bad) - most} more' if len(bad) > most else ''
    return ', '.join(bad[:most]) + more


def _gradients_of(loss: Tensor, model: torch.nn.Module) -> dict[str, float]:
    """Norm of the gradient of each parameter; none where the loss cannot be differentiated.

    Nor of a model that is shared out among processes: the others would have to take part.
    """
    if isinstance(model, FSDPModule):
        return {}
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    try:
        grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    except RuntimeError:
        return {}
    return {name: float(g.norm()) for name, g in zip(named, grads, strict=True) if g is not None}


def plain(node: Any) -> Any:
    """A batch as dicts, lists, tensors, numbers and text, which `torch.load(weights_only=True)` reads."""
    if isinstance(node, BaseDataElement):
        return plain(dict(node.all_items()))
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(value) for value in node]
    if isinstance(node, Tensor):
        return node.detach().cpu()
    if hasattr(node, 'to_ndarray'):  # MMDetection's masks
        return torch.from_numpy(node.to_ndarray())
    if hasattr(node, 'tensor'):  # and boxes
        return node.tensor.detach().cpu()
    if isinstance(node, np.ndarray):
        return torch.from_numpy(node)
    if isinstance(node, np.generic):
        return node.item()
    return node if node is None or isinstance(node, (bool, int, float, str)) else repr(node)
