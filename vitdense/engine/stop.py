"""A stop that is asked for: the iteration is finished and saved, and `--resume` goes on with the next one.

SIGTERM, which a cluster sends before it takes the machine away, and Ctrl-C. A second one stops at once, but
not the echo of the first: torchrun hands on to its processes what a terminal or a cluster has sent them, too.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .save import save

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO = 2.0  # seconds in which a second signal is the first one's echo


class Stopped(BaseException):
    """A run that was stopped by a signal and saved; exit code 128 + its number, as a shell has it."""

    def __init__(self, number: int, iterations: int):
        super().__init__(f'stopped by {signal.Signals(number).name} after iteration {iterations}, and saved')
        self.code = 128 + number


class StopHook(Hook):
    """Saves and stops after the iteration in which a signal came, on all processes after the same one."""

    priority = 'LOWEST'  # after the hook that saves at its own intervals

    def __init__(self) -> None:
        self.asked = 0  # the signal's number
        self.when = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the training goes on."""
        before = {number: signal.signal(number, self._ask) for number in SIGNALS if _is_ours(number)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.asked and now - self.when > ECHO:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        if not self.asked:
            self.asked, self.when = number, now

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        asked = torch.tensor(self.asked)
        all_reduce(asked, 'max')
        if asked:
            self._stop(runner, int(asked), runner.iter + 1)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """In a training's validation, which `--resume` does not repeat; not where processes would differ."""
        if self.asked and not torch.distributed.is_initialized():
            self._stop(runner, self.asked, runner.iter)

    def _stop(self, runner: Runner, number: int, iterations: int) -> None:
        save(runner, iterations)
        raise Stopped(number, iterations)


def _is_ours(number: int) -> bool:
    """Not where it was ignored from the start, as Ctrl-C is in a shell's background."""
    return signal.getsignal(number) is not signal.SIG_IGN
