"""Other work on the machine, beside which several threads are slower than one."""

import os
import time
from collections.abc import Iterator

import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from ..engine.processes import unwrapped
from ..findings import Finding, Level
from ..other_work import OtherWork

SECONDS = 0.2  # of looking, in which this process waits
BUSY = 0.5  # cores that others use


def other_work(runner: Runner) -> Iterator[Finding]:
    """A warning where other processes keep cores busy that the threads of this one count on.

    Each step waits for the last of its threads, and one without a core of its own is late.
    """
    if next(unwrapped(runner).parameters()).device.type != 'cpu' or get_world_size() > 1:
        return
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    others = OtherWork()
    time.sleep(SECONDS)
    used = others.cores()
    free = max(1, cores - round(used))
    if used >= BUSY and threads > free:
        text = (
            f'other processes keep {used:.1f} of {cores} cores busy, beside which {threads} threads wait for '
            f'each other: OMP_NUM_THREADS={free} is faster'
        )
        yield Finding('device', text, Level.WARNING)
