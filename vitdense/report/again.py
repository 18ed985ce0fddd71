"""The facts of a run as they are now: of one that was killed, too, which could not write that down."""

import time
from pathlib import Path

from ..folder_lock import is_locked
from ..show.curves import run_curves
from .facts import RunFacts, read_facts


def read_run(work_dir: Path) -> RunFacts:
    """What a run has noted; one that says that it is running, and is not, was killed.

    Raises:
        UserError: no facts of a run in this folder.
    """
    facts = read_facts(work_dir)
    if facts.state == 'running' and not is_locked(work_dir):
        facts.state = 'killed'
        logged = [step for part in run_curves(work_dir).values() for curve in part.values() for step in curve]
        facts.iteration = max([facts.iteration, *logged])
        facts.reason = f'no process runs there any more; last written {time.ctime(facts.written)}'
    return facts
