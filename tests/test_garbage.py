"""Imports are left out of garbage collections, and the collector works afterwards as before."""

import gc
import subprocess
import sys

import pytest

from vitdense.garbage import collected_later


@pytest.mark.parametrize('enabled', [True, False])
def test_the_collector_is_afterwards_as_it_was(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        with collected_later():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


PROGRAM = """
import gc
from vitdense.garbage import collected_later

class Cycle:
    def __init__(self):
        self.own = self

with collected_later():
    import json, decimal, email.message
assert not any(one is decimal.__dict__ for one in gc.get_objects())
count = gc.get_freeze_count()
cycle = Cycle()
with collected_later():
    pass
assert gc.get_freeze_count() == count
del cycle
gc.collect()
assert not any(isinstance(one, Cycle) for one in gc.get_objects())
gc.unfreeze()
assert not any(isinstance(one, Cycle) for one in gc.get_objects())
"""


def test_modules_are_never_collected_and_a_cycle_of_later_is():
    subprocess.run([sys.executable, '-c', PROGRAM], check=True)
