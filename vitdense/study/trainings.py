"""The trainings of a study: each a `vitdense train` in a process of its own, one at a time or one a GPU.

What a training has done is read off its work dir, and nowhere else. So a study that was killed is continued
by its command, at whatever point that happened: finished trainings stay, one that was interrupted resumes
from its newest checkpoint, and one that goes on without the study is waited for.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, NamedTuple

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..console import display_path, say
from ..engine.work_dir import RESUMABLE, TRAINED
from ..errors import UserError
from ..folder_lock import is_locked
from ..report.facts import RunFacts, read_facts
from ..report.verdict import headline_score
from ..show.scores import number
from .plan import StudyPlan, StudyRun

OUTPUT = 'output.txt'  # of a training, in its work dir
PAUSE = 1.0  # seconds between two looks at what runs
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, 'SIGHUP') else [])]


class Running(NamedTuple):
    """A training that runs; without a process where it was started before this study.

    began: bytes of its output that are of earlier processes.
    """

    run: StudyRun
    device: str
    process: subprocess.Popen[bytes] | None
    output: IO[bytes] | None
    began: int = 0


class StudyStopped(BaseException):
    """A signal came; the trainings have saved themselves."""

    def __init__(self, number: int):
        super().__init__(f'stopped by {signal.Signals(number).name}')
        self.exit_code = 128 + number


def gpus() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` says of each GPU that this process sees; [''] without one."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    return (named.split(',')[:count] if named else [str(i) for i in range(count)]) or ['']


def finished_facts(run: StudyRun) -> RunFacts | None:
    """Those of a training that has reached its end, and was scored."""
    try:
        facts = read_facts(run.folder)
    except UserError:
        return None
    return facts if facts.state == 'finished' and facts.evaluated else None


def train_all(plan: StudyPlan, devices: Sequence[str], console: Console) -> dict[str, str]:
    """Train what is not trained yet.

    Args:
        plan: of the study.
        devices: those of `gpus`, one training on each at a time; '' leaves it to the training.
        console: for a line when a training starts and ends.

    Returns:
        why trainings have failed, by their names.

    Raises:
        StudyStopped: by SIGINT, SIGTERM or SIGHUP, after the trainings were stopped and saved.
    """
    waiting = [run for run in plan.runs if not finished_facts(run)]
    if there := len(plan.runs) - len(waiting):
        say(console, 'trained', f'{there} of {len(plan.runs)} trainings are there already')
    failed: dict[str, str] = {}
    free, running = list(devices), list[Running]()
    with _listening() as received, _bars(console) as bars:
        tasks: dict[str, TaskID] = {}
        try:
            while waiting or running:
                while waiting and free and not received:
                    run = waiting.pop(0)
                    running.append(_start(plan, run, free.pop(0), console))
                    tasks[run.name] = bars.add_task(run.name, total=None, values='')
                if received:
                    break
                time.sleep(PAUSE)
                for one in list(running):
                    _show(bars, tasks[one.run.name], one.run)
                    if _runs(one):
                        continue
                    running.remove(one)
                    free.append(one.device)
                    bars.remove_task(tasks[one.run.name])
                    if one.process is None and not finished_facts(one.run):
                        waiting.insert(0, one.run)
                    elif reason := _ended(one, console):
                        failed[one.run.name] = reason
        finally:
            _stop(running)
    if received:
        raise StudyStopped(received[0])
    return failed


def _start(plan: StudyPlan, run: StudyRun, device: str, console: Console) -> Running:
    if is_locked(run.folder):
        say(console, 'waiting', f'{run.name}: a process trains it already')
        return Running(run, device, None, None)
    arguments = plan.arguments(run)
    resumes = any(RESUMABLE.fullmatch(path.name) for path in run.folder.glob('*.pth'))
    if resumes:
        arguments.append('--resume')
    else:
        _set_aside(run.folder)
    say(console, 'resuming' if resumes else 'training', run.name)
    run.folder.mkdir(parents=True, exist_ok=True)
    output = (run.folder / OUTPUT).open('ab')
    began = output.tell()
    process = subprocess.Popen(
        [sys.executable, '-m', 'vitdense', 'train', *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES=device) if device else None,
        start_new_session=True,  # Ctrl-C in a terminal reaches the study alone, which hands it on once
    )
    return Running(run, device, process, output, began)


def _set_aside(folder: Path) -> None:
    """A training that left traces, and nothing to resume from, leaves its name to a new one."""
    if any(any(folder.glob(trace)) for trace in TRAINED):
        names = (folder.with_name(f'{folder.name}.failed{number}') for number in count(1))
        folder.rename(next(path for path in names if not path.exists()))


def _runs(one: Running) -> bool:
    return is_locked(one.run.folder) if one.process is None else one.process.poll() is None


def _ended(one: Running, console: Console) -> str:
    """Say how a training has ended.

    Returns:
        why it has failed; '' if it has not.
    """
    if one.output:
        one.output.close()
    facts = finished_facts(one.run)
    if facts is None:
        reason = _reason(one)
        say(console, 'failed', f'{one.run.name}: {reason}', 'bold red')
        return reason
    name, value = headline_score(facts) or ('', float('nan'))
    minutes = sum(facts.seconds.values()) / 60
    say(console, 'trained', f'{one.run.name}: {name} {number(value)}, {minutes:.1f} minutes')
    return ''


def _reason(one: Running) -> str:
    """The error that a training ended with, in one line."""
    path = one.run.folder / OUTPUT
    said = path.read_bytes()[one.began :] if path.is_file() else b''
    lines = said.decode(errors='replace').splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    code = one.process.returncode if one.process else 0
    if code < 0:
        return f'killed by {signal.Signals(-code).name}' + (', perhaps for its memory' if code == -9 else '')
    if errors := [line for line in lines if line.startswith('error: ')]:
        return errors[-1].removeprefix('error: ')
    if code == 0:
        return 'it has no score'
    return lines[-1] if lines else f'exit code {code}; see {display_path(path)}'


def _stop(running: Sequence[Running]) -> None:
    """Stop what this study has started; each training saves itself first."""
    started = [one.process for one in running if one.process]
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        process.wait()


@contextmanager
def _listening() -> Iterator[list[int]]:
    """The signals that came."""
    received: list[int] = []
    before = {one: signal.getsignal(one) for one in SIGNALS}
    heard = [one for one, handler in before.items() if handler is not signal.SIG_IGN]
    for one in heard:
        signal.signal(one, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        for one in heard:
            signal.signal(one, before[one])


def _bars(console: Console) -> Progress:
    """A bar for each training that runs, on a terminal."""
    return Progress(
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[values]}', markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _show(bars: Progress, task: TaskID, run: StudyRun) -> None:
    if bars.disable:
        return
    try:
        facts = read_facts(run.folder)
    except UserError:  # not written yet
        return
    score = headline_score(facts)
    values = f'{score[0]} {number(score[1])}' if score else ''
    bars.update(task, completed=facts.iteration, total=facts.total or None, values=values)
