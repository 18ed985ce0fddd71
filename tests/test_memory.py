"""A process that keeps what it frees asks the system for it once."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from vitdense.memory import keep_freed_memory

if sys.argv[1] == 'keep':
    assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for _ in range(10):
        torch.ones(16, 1024, 1024).relu()

work()
before = faults()
work()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='another C library')
def test_pages_are_cleared_once():
    def faults(mode):
        done = subprocess.run(
            [sys.executable, '-c', SCRIPT, mode],
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        )
        return int(done.stdout)

    assert faults('keep') < 0.01 * faults('give back')
