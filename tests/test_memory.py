"""A process that keeps the memory that it frees asks the system for it once."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from vitdense.memory import keep_freed_memory

def page_faults():
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            torch.ones(16, 1024, 1024).relu()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = page_faults()
assert keep_freed_memory()
print(returned, page_faults())
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='another C library')
def test_pages_are_cleared_once():
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
    )
    returned, kept = map(int, done.stdout.split())
    assert kept < 0.01 * returned
