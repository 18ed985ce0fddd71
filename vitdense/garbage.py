"""Python's garbage collections, which walk over all that is imported: a fifth of the start of a run."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def collected_later() -> Iterator[None]:
    """Collect nothing inside, and never what this leaves: modules, which no process frees.

    Where the collector is switched off, it stays so.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _freeze()
        if enabled:
            gc.enable()


@cache  # once a process: later, what is frozen might be garbage
def _freeze() -> None:
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries take the modules' objects for leaks, and say so
