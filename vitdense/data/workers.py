"""Signals in the processes that load data: a stop is the main process's to arrange."""

import os
import signal
import threading
from collections.abc import Callable


def begin_worker(then: Callable | None, worker: int) -> None:
    """The start of a loading process: only its parent ends it.

    Ctrl-C and a cluster's SIGTERM reach every process of a run, and the main one still needs its data to
    finish the iteration. A worker whose parent has died ends by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_parent, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker)


def _wait_for_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
