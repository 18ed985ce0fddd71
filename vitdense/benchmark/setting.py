"""How all models of a benchmark are run."""

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch


class RunSetting(NamedTuple):
    """One of a benchmark.

    size: (H, W).
    dtype: float32, or what autocast computes in.
    training: forward and backward, not the forward alone.
    compiled: through `torch.compile`.
    fused: batch norms are folded into the layers beside them.
    memory_kept: the process keeps the memory that it frees (`memory.keep_freed_memory`).
    """

    batch: int
    size: tuple[int, int]
    device: torch.device
    dtype: torch.dtype
    training: bool
    compiled: bool
    fused: bool = False
    memory_kept: bool = False

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
