"""SIGTERM and Ctrl-C: the iteration is finished, the run saved, and `--resume` continues it.

Clusters send SIGTERM before they take a machine away. A second signal stops at once, but not the echo of the
first: torchrun forwards to its processes what a terminal or a cluster has sent them, too.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import Stopped
from .checkpoints import save

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO = 2.0  # seconds in which a second signal is the first one's echo


class StopHook(Hook):
    """Saves and stops after the iteration in which a signal came, on all processes after the same one."""

    priority = 'LOWEST'  # after the checkpoint hook

    def __init__(self) -> None:
        self.process = os.getpid()
        self.received = 0  # the signal's number
        self.when = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the training runs."""
        before = {
            number: signal.signal(number, self._receive) for number in SIGNALS if not _is_ignored(number)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: Any) -> None:
        if os.getpid() != self.process:  # a child of it, as in the pool of MMDetection's VOCMetric, is ended
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        now = time.monotonic()
        if self.received and now - self.when > ECHO:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        if not self.received:
            self.received, self.when = number, now

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        received = torch.tensor(self.received)
        all_reduce(received, 'max')
        if received:
            self._stop(runner, int(received), runner.iter + 1)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """In a training's validation, which `--resume` does not repeat; not where processes would differ."""
        if self.received and not torch.distributed.is_initialized():
            self._stop(runner, self.received, runner.iter)

    def _stop(self, runner: Runner, number: int, iterations: int) -> None:
        save(runner, iterations)
        raise Stopped(number, iterations)


def _is_ignored(number: int) -> bool:
    """From the start, as Ctrl-C is in a shell's background."""
    return signal.getsignal(number) is signal.SIG_IGN
