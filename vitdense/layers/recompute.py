"""Activation checkpointing: blocks that are computed again in the backward pass, to save memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..compat import COMPILES_RECOMPUTATION, is_compiling


class Blocks(nn.Sequential):
    """Blocks in a row; with `with_cp`, each keeps its input alone and is recomputed in the backward pass."""

    def __init__(self, *blocks: nn.Module, with_cp: bool = False):
        super().__init__(*blocks)
        self.with_cp = with_cp

    def forward(self, state: Any) -> Any:
        able = COMPILES_RECOMPUTATION or not is_compiling()
        if not (self.with_cp and torch.is_grad_enabled() and able):
            return super().forward(state)
        for block in self:
            # a compiled graph writes a buffer once by itself
            options: dict[str, Any] = {} if is_compiling() else dict(context_fn=partial(_contexts, block))
            state = checkpoint(block, state, use_reentrant=False, **options)
        return state


def _contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Of the forward pass and of the recomputation."""
    return nullcontext(), _statistics_untouched(block)


@contextmanager
def _statistics_untouched(block: nn.Module) -> Iterator[None]:
    """A recomputed batch norm must not update its running statistics a second time: it updates copies."""
    kept = [
        (norm, name, buffer)
        for norm in block.modules()
        if isinstance(norm, _BatchNorm)
        for name, buffer in norm.named_buffers(recurse=False)
    ]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
