"""Runs in turns: what disturbs a round disturbs all models alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch

PRODUCT = 2048  # rows and columns of the matrices whose product tells how fast the machine is
WARM_UP = 2  # rounds that are not counted


class Timing(NamedTuple):
    """Seconds of one run.

    low, high: first and third quartile.
    """

    median: float
    low: float
    high: float


def time_in_turns(
    runs: Mapping[Hashable, Callable[[], Any]], rounds: int, device: torch.device
) -> dict[Hashable, Timing]:
    """Time each run once a round, `rounds` times."""
    times: dict[Hashable, list[float]] = {name: [] for name in runs}
    for number in range(WARM_UP + rounds):
        for name, run in runs.items():
            seconds = _seconds(run, device)
            if number >= WARM_UP:
                times[name].append(seconds)
    return {name: _timing(seconds) for name, seconds in times.items()}


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _timing(seconds: list[float]) -> Timing:
    low, _, high = quantiles(seconds, n=4, method='inclusive') if len(seconds) > 1 else seconds * 3
    return Timing(median(seconds), low, high)


def matrix_product(device: torch.device, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """A square product of 2 · 2048³ operations."""
    a, b = (torch.randn(PRODUCT, PRODUCT, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b
