"""How much memory a run takes at once, beyond what its weights and its input take already."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(run: Callable[[], Any], device: torch.device) -> int:
    """Bytes of tensors that live at the same time, at most, while `run` goes on.

    Counted at torch's allocator; what a library's kernel takes for itself is not seen on a CPU.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with _silent(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watch:
        run()
    taken = [e for e in watch.profiler.kineto_results.events() if e.name() == '[memory]']
    changes = (e.nbytes() for e in sorted(taken, key=lambda e: e.start_ns()))
    return max(accumulate(changes, initial=0))


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on the error stream, where the profiler's C++ reports on itself."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
