"""Where a run writes; a new run never writes over an earlier one, nor beside one that goes on."""

import errno
import os
import re
import socket
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO

from mmengine.dist import is_main_process

try:
    import fcntl
except ImportError:  # not where there is none of it, as on Windows
    fcntl = None

from ..checkpoint import check_sums
from ..console import make_console, shown
from ..errors import UserError

HOME = Path('work_dirs')
LOCK = '.lock'
TRACES = ('*.pth', 'last_checkpoint', 'not_finite')  # of a run that has come somewhere
OF_A_RUN = re.compile(r'(?:epoch|iter)_\d+\.pth')  # checkpoints to go on with; the best one is weights alone

_locks: dict[Path, IO[str]] = {}  # held as long as this process lives


def new_work_dir(wanted: str | None, name: str) -> Path:
    """The folder of a new training run: the one that is wanted, or work_dirs/<name>, <name>-2, ….

    Raises:
        UserError: the wanted one already holds what a run has made, or another run is at work in it.
    """
    if wanted is None:
        return next(path for path in _numbered(name) if not _used(path) and not taken(path))
    if _used(Path(wanted)):
        raise UserError(
            f'--work-dir {wanted} holds the checkpoints of an earlier run; --resume goes on with it, '
            f'another --work-dir begins anew'
        )
    return _own(Path(wanted))


def resumed_run(wanted: str | None, name: str, checkpoint: str) -> tuple[Path, Path]:
    """The folder and the checkpoint to go on with, for `--resume` or `--resume CHECKPOINT`.

    Raises:
        UserError: there is nothing to resume, or another run is at work there.
    """
    if checkpoint != 'auto':
        path = Path(checkpoint)
        if not path.is_file():
            raise UserError(f'--resume {checkpoint}: no such checkpoint file')
        return _own(Path(wanted) if wanted else path.parent), path
    for folder in [Path(wanted)] if wanted is not None else _runs_of(name):
        if _checkpoints(folder):
            return _own(folder), _newest(folder)
    place = wanted or shown(HOME / name)
    raise UserError(f'--resume: no checkpoint in {place}; give one (--resume CHECKPOINT) or start without it')


def last_checkpoint(work_dir: Path) -> Path | None:
    """The newest checkpoint of a run."""
    record = work_dir / 'last_checkpoint'
    name = Path(record.read_text().strip()).name if record.is_file() else ''
    return work_dir / name if name else None


def taken(folder: Path) -> str:
    """Take a folder for this process, as long as it lives.

    Returns:
        nothing, or whose it is.
    """
    if not is_main_process() or fcntl is None:
        return ''
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / LOCK).absolute()
    if path in _locks:
        return ''
    file = path.open('a+')
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return ''  # a file system without locks
        file.seek(0)
        return file.read().strip() or 'a process'
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    _locks[path] = file
    return ''


def _own(folder: Path) -> Path:
    if other := taken(folder):
        raise UserError(f'{shown(folder)}: another run is at work there ({other})')
    return folder


def _newest(folder: Path) -> Path:
    """The newest checkpoint that is whole; damaged ones are named.

    Raises:
        UserError: there is none.
    """
    recorded = last_checkpoint(folder)
    others = sorted(_checkpoints(folder), key=lambda path: path.stat().st_mtime, reverse=True)
    damaged = []
    for path in dict.fromkeys([recorded, *others] if recorded else others):
        if path.is_file() and _is_whole(path):
            if damaged:
                said = f'{_named(damaged)}: damaged; {shown(path)} is used'
                make_console().print(said, style='yellow', markup=False)
            return path
        damaged.append(path)
    raise UserError(f'--resume: no whole checkpoint in {shown(folder)}; damaged: {_named(damaged)}')


def _named(paths: list[Path]) -> str:
    return ', '.join(shown(path) for path in paths)


def _is_whole(path: Path) -> bool:
    try:
        check_sums(path)
    except (zipfile.BadZipFile, OSError, EOFError):
        return False
    return True


def _numbered(name: str) -> Iterator[Path]:
    yield HOME / name
    yield from (HOME / f'{name}-{number}' for number in count(2))


def _runs_of(name: str) -> list[Path]:
    """The folders of a config's runs, the newest first; some may have been removed since."""
    numbers = {path: re.fullmatch(rf'{re.escape(name)}(?:-(\d+))?', path.name) for path in HOME.glob('*')}
    return sorted((path for path in numbers if numbers[path]), key=lambda p: -int(numbers[p][1] or 1))


def _used(folder: Path) -> bool:
    return any(any(folder.glob(trace)) for trace in TRACES)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob('*.pth') if OF_A_RUN.fullmatch(path.name)]
