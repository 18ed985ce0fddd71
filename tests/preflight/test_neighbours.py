"""Other work on the cores that a run counts on is a warning, with the number of threads that is faster."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vitdense.other_work import OtherWork
from vitdense.preflight.neighbours import other_work

CORES = os.cpu_count()


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: CORES)
    return SimpleNamespace(model=nn.Linear(1, 1))


def test_busy_processes_are_seen(runner):
    """Real ones, one on each core."""
    others = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(CORES)]
    try:
        (finding,) = other_work(runner)
    finally:
        for other in others:
            other.kill()
    assert int(re.search(r'OMP_NUM_THREADS=(\d+) ', finding.text)[1]) < CORES or CORES == 1


@pytest.mark.parametrize(
    ('percent', 'threads', 'wanted'), [(0, 4, None), (25, 4, 3), (100, 4, 1), (100, 1, None)]
)
def test_as_many_threads_as_cores_are_left(percent, threads, wanted, monkeypatch, runner):
    monkeypatch.setattr(os, 'cpu_count', lambda: 4)
    monkeypatch.setattr(OtherWork, 'cores', lambda self: percent / 25)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    found = [finding.text for finding in other_work(runner)]
    assert len(found) == (wanted is not None)
    assert all(f'OMP_NUM_THREADS={wanted} ' in text for text in found)
