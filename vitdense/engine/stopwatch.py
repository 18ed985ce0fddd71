"""Where the time of a run goes: data, forward and backward pass, optimizer step, evaluation, and the rest."""

import time
from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any

import torch

from ..mmengine_internals import optim_wrappers

DATA, FORWARD, BACKWARD, STEP, EVALUATION = 'data', 'forward', 'backward', 'step', 'evaluation'
REPORT, OTHER = 'report', 'other'
STEPS = (FORWARD, BACKWARD, STEP)
SAMPLED = 20  # of so many iterations one, on a GPU, is waited for at each part

# What runs when MMEngine calls its hooks for an event, and what runs afterwards.
EVENTS = {
    'before_train_epoch': (OTHER, DATA),
    'before_train_iter': (OTHER, FORWARD),
    'after_train_iter': (OTHER, DATA),
    'after_train_epoch': (OTHER, OTHER),
    'before_val_epoch': (EVALUATION, EVALUATION),
    'after_val_epoch': (OTHER, DATA),
    'before_test_epoch': (EVALUATION, EVALUATION),
    'after_test_epoch': (OTHER, OTHER),
}


class Stopwatch:
    """One thing runs at a time, so that the seconds of all add up to those of the run.

    A GPU works on while Python is elsewhere. There the split of a step into its parts is that of the
    iterations at which the parts are waited for.

    Args:
        waits: returns when the device has done its work; None where it does all at once, as a CPU.
    """

    def __init__(self, waits: Callable[[], None] | None = None) -> None:
        self.running = OTHER
        self.since = time.perf_counter()
        self.totals = dict.fromkeys((DATA, *STEPS, EVALUATION, REPORT, OTHER), 0.0)
        self.sampled = dict.fromkeys(STEPS, 0.0)
        self.waits = waits
        self.iterations = 0

    @classmethod
    def here(cls) -> 'Stopwatch':
        return cls(torch.cuda.synchronize if torch.cuda.is_available() else None)

    def switch(self, to: str) -> None:
        """What has run ends, and this begins."""
        sample = self.waits is not None and self.iterations % SAMPLED == 0
        if sample and self.waits and self.running in STEPS:
            self.waits()
        now = time.perf_counter()
        self.totals[self.running] += now - self.since
        if sample and self.running in STEPS:
            self.sampled[self.running] += now - self.since
        self.running, self.since = to, now

    def before(self, event: str) -> None:
        """The hooks of an event are about to be called, one after the other."""
        if event in EVENTS:
            self.switch(EVENTS[event][0])

    def after(self, event: str) -> None:
        """The hooks of an event have been called."""
        if event in EVENTS:
            self.switch(EVENTS[event][1])
        if event == 'after_train_iter':
            self.iterations += 1

    def watch(self, optim_wrapper: Any) -> None:
        """Tell its backward passes and its steps apart from what runs before them."""
        for one in optim_wrappers(optim_wrapper).values():
            one.backward = self._as(BACKWARD, one.backward, one)
            one.step = self._as(STEP, one.step, one)

    def _as(self, name: str, call: Callable, owner: Any) -> MethodType:
        """A method, as MMEngine's schedulers expect of `step`."""

        @wraps(call)
        def watched(_: Any, *args: Any, **kwargs: Any) -> Any:
            before = self.running
            self.switch(name)
            try:
                return call(*args, **kwargs)
            finally:
                self.switch(before)

        return MethodType(watched, owner)

    def seconds(self) -> dict[str, float]:
        """Of each part, up to now."""
        self.switch(self.running)
        found = dict(self.totals)
        if (known := sum(self.sampled.values())) > 0:
            together = sum(found[name] for name in STEPS)
            found |= {name: together * share / known for name, share in self.sampled.items()}
        return found
