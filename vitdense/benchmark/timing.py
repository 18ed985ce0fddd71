"""Runs in turns: what disturbs a round disturbs all models alike."""

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch

PRODUCT = 2048  # rows and columns of the matrices whose product tells how fast the machine is
WARM_UP = 2  # rounds that are not counted
QUIET = 0.2  # cores that other processes use, at most, where nothing is said


class Timing(NamedTuple):
    """Seconds of one run.

    low, high: first and third quartile.
    cpu: the median of what all threads of this process took.
    """

    median: float
    low: float
    high: float
    cpu: float


class Load(NamedTuple):
    """What the machine had to do.

    start, end: processes that ran or waited for a core, these included: a mean over the minute before.
    others: cores that other processes used meanwhile.
    """

    start: float
    end: float
    others: float

    @property
    def quiet(self) -> bool:
        """Whether little ran beside."""
        return self.others <= QUIET


def load() -> float:
    """Of this moment; of a system that does not count, none."""
    return os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0


def time_in_turns(
    runs: Mapping[Hashable, Callable[[], Any]], rounds: int, device: torch.device
) -> dict[Hashable, Timing]:
    """Time each run once a round, `rounds` times."""
    times: dict[Hashable, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(WARM_UP + rounds):
        for name, run in runs.items():
            seconds = _seconds(run, device)
            if number >= WARM_UP:
                times[name].append(seconds)
    return {name: _timing(*zip(*seconds, strict=True)) for name, seconds in times.items()}


def _seconds(run: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Wall and CPU."""
    _wait(device)
    start, cpu = time.perf_counter(), time.process_time()
    run()
    _wait(device)
    return time.perf_counter() - start, time.process_time() - cpu


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _timing(seconds: Sequence[float], cpu: Sequence[float]) -> Timing:
    low, _, high = quantiles(seconds, n=4, method='inclusive') if len(seconds) > 1 else [*seconds] * 3
    return Timing(median(seconds), low, high, median(cpu))


def matrix_product(device: torch.device, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """A square product of 2 · 2048³ operations."""
    a, b = (torch.randn(PRODUCT, PRODUCT, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b
