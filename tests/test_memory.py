"""Peak memory is counted, and a process that keeps the memory that it frees asks the system for it once."""

import os
import subprocess
import sys

import pytest
import torch

from vitdense.memory import peak_memory

SCRIPT = """
import resource, torch
from vitdense.memory import keep_freed_memory

def page_faults():
    for _ in range(5):  # torch 2.5 needs some until every block has its place
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            torch.ones(16, 1024, 1024).relu()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = page_faults()
assert keep_freed_memory()
print(returned, page_faults())
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='another C library')
def test_kept_memory_takes_no_new_pages():
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
    )
    returned, kept = map(int, done.stdout.split())
    assert kept < 0.01 * returned


def test_peak_memory_is_of_tensors_that_live_at_the_same_time():
    def run():
        a = torch.ones(1000, 1000)
        b = a + 1
        del a
        c = b * 2  # beside b
        return c * 2  # beside b and c

    assert 3 * 4e6 <= peak_memory(run, torch.device('cpu')) < 3 * 4e6 + 1000
    kept = torch.ones(1000, 1000)  # lives already
    assert 4e6 <= peak_memory(lambda: kept + 1, torch.device('cpu')) < 4e6 + 1000
