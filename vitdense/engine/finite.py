"""A loss that is not finite stops the run before it touches a weight, and its batch is kept."""

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

from .console import make_console, shown
from .unwrap import unwrapped

FOLDER = 'not_finite'


class NotFinite(Exception):
    """A loss was not finite. The tools exit with code 3."""


class FiniteHook(Hook):
    """Looks at each loss between the forward and the backward pass.

    Args:
        skipped: so many such iterations may pass without a step, before the next one stops the run.
    """

    def __init__(self, skipped: int = 0):
        self.left = skipped
        self.batch: Any = None

    def before_train(self, runner: Runner) -> None:
        model, optimizer = unwrapped(runner), runner.optim_wrapper
        parse, update = model.parse_losses, optimizer.update_params
        losses: Mapping[str, Tensor] = {}

        def parse_losses(raw: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
            nonlocal losses
            total, losses = parse(raw)
            return total, losses

        def update_params(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            bad = ~torch.isfinite(loss.detach())
            anywhere = bad.int()
            all_reduce(anywhere, 'max')  # a step is taken by all processes or by none
            if anywhere:
                self._leave(runner, self._save(runner, loss, losses) if bad else 'in another process')
            else:
                update(loss, *args, **kwargs)

        model.parse_losses, optimizer.update_params = parse_losses, update_params

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.batch = data_batch

    def _save(self, runner: Runner, loss: Tensor, losses: Mapping[str, Tensor]) -> str:
        """Write down the batch, the losses and the gradients; which losses, and where."""
        path = Path(runner.work_dir, FOLDER, f'iter_{runner.iter + 1}_rank_{runner.rank}.pth')
        path.parent.mkdir(parents=True, exist_ok=True)
        by_name = {name: float(value.detach()) for name, value in losses.items()}
        gradients = _gradients(unwrapped(runner), loss)
        torch.save(dict(losses=by_name, gradients=gradients, batch=plain(self.batch)), path)
        bad = (f'{name} {value}' for name, value in by_name.items() if not math.isfinite(value))
        return f'{", ".join(bad)}; batch, losses and gradient norms in {shown(path)}'

    def _leave(self, runner: Runner, which: str) -> None:
        what = f'iteration {runner.iter + 1}: the loss is not finite: {which}'
        if not self.left:
            raise NotFinite(what)
        self.left -= 1
        runner.logger.warning(what)
        make_console().print(f'[yellow]skipped[/] {what}; {self.left} more may be')


def _gradients(model: torch.nn.Module, loss: Tensor) -> dict[str, float]:
    """Norm of the gradient of each parameter; none where the loss cannot be differentiated."""
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
