"""How much memory a run takes at once, and how a process keeps the memory that it frees."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(run: Callable[[], Any], device: torch.device) -> int:
    """Bytes of tensors that live at the same time, at most, while `run` runs, beside those that lived before.

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


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> bool:
    """Make glibc keep the memory that this process frees; whether it does.

    By itself it returns every large block to the system, which has to clear each page of the next one: for a
    feature map of 100 MB that can take longer than the layer that writes it. The process then holds as much
    memory as it ever needed at once. Nothing is done with a GPU, whose memory torch keeps by itself, or with
    another C library.
    """
    if torch.cuda.is_available():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
