"""Where a run writes; a new run never overwrites an earlier one, nor writes where another one is running."""

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
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

from ..checkpoint import check_sums
from ..console import display_path, make_console
from ..errors import UserError

WORK_DIRS = Path('work_dirs')
LOCK = '.lock'
TRAINED = ('*.pth', 'last_checkpoint', 'not_finite')  # left by a training
TESTED = ('predictions.png',)  # left by a test
RESUMABLE = re.compile(r'(?:epoch|iter)_\d+\.pth')  # the best checkpoint is weights alone

_locks: dict[Path, IO[str]] = {}  # held as long as this process lives


def new_work_dir(wanted: str | None, name: str) -> Path:
    """The folder of a new training, locked: the wanted one, or work_dirs/<name>, <name>-2, ….

    Raises:
        UserError: the wanted one already holds a training, or another run is running in it.
    """
    if wanted is not None and _holds(Path(wanted), TRAINED):
        raise UserError(
            f'--work-dir {wanted} holds the checkpoints of an earlier run; --resume continues it, '
            f'another --work-dir starts a new one'
        )
    return _new(wanted, name, TRAINED)


def new_test_dir(wanted: str | None, name: str) -> Path:
    """The folder of a test, locked: the wanted one, or work_dirs/<name>-test, <name>-test-2, ….

    Raises:
        UserError: the wanted one already holds pictures of an earlier run, or another run is running in it.
    """
    if wanted is not None and _holds(Path(wanted), TESTED):
        raise UserError(
            f'--work-dir {wanted} holds the predictions of an earlier run; another --work-dir, or none, '
            f'leaves them alone'
        )
    return _new(wanted, f'{name}-test', TESTED)


def _new(wanted: str | None, name: str, traces: tuple[str, ...]) -> Path:
    if wanted is not None:
        return _locked(Path(wanted))
    return next(path for path in _numbered(name) if not _holds(path, traces) and not lock(path))


def resumed_run(wanted: str | None, name: str, checkpoint: str) -> tuple[Path, Path]:
    """The folder, locked, and the checkpoint of the run that `--resume` or `--resume CHECKPOINT` continues.

    Raises:
        UserError: there is nothing to resume, or another run is running there.
    """
    if checkpoint != 'auto':
        path = Path(checkpoint)
        if not path.is_file():
            raise UserError(f'--resume {checkpoint}: no such checkpoint file')
        return _locked(Path(wanted) if wanted else path.parent), path
    for folder in [Path(wanted)] if wanted is not None else _runs_of(name):
        if _checkpoints(folder):
            return _locked(folder), _newest(folder)
    where = wanted or display_path(WORK_DIRS / name)
    raise UserError(f'--resume: no checkpoint in {where}; give one (--resume CHECKPOINT) or start without it')


def last_checkpoint(work_dir: Path) -> Path | None:
    """The newest checkpoint of a run."""
    record = work_dir / 'last_checkpoint'
    name = Path(record.read_text().strip()).name if record.is_file() else ''
    return work_dir / name if name else None


def lock(folder: Path) -> str:
    """Lock a folder for this process, as long as it lives.

    Returns:
        nothing, or which process has locked it.
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


def _locked(folder: Path) -> Path:
    if other := lock(folder):
        raise UserError(f'{display_path(folder)}: another run is running there ({other})')
    return folder


def _newest(folder: Path) -> Path:
    """The newest checkpoint that is whole; damaged ones are named.

    Raises:
        UserError: there is none.
    """
    recorded = last_checkpoint(folder)
    others = sorted(_checkpoints(folder), key=lambda path: path.stat().st_mtime, reverse=True)
    damaged: list[Path] = []
    for path in dict.fromkeys([recorded, *others] if recorded else others):
        if path.is_file() and _is_whole(path):
            if damaged:
                said = f'{_list(damaged)}: damaged; {display_path(path)} is used'
                make_console().print(said, style='yellow', markup=False)
            return path
        damaged.append(path)
    raise UserError(f'--resume: no whole checkpoint in {display_path(folder)}; damaged: {_list(damaged)}')


def _list(paths: list[Path]) -> str:
    return ', '.join(display_path(path) for path in paths)


def _is_whole(path: Path) -> bool:
    try:
        check_sums(path)
    except (zipfile.BadZipFile, OSError, EOFError):
        return False
    return True


def _numbered(name: str) -> Iterator[Path]:
    yield WORK_DIRS / name
    yield from (WORK_DIRS / f'{name}-{number}' for number in count(2))


def _runs_of(name: str) -> list[Path]:
    """The folders of a config's trainings, the newest first; some may have been removed since."""
    matches = {
        path: re.fullmatch(rf'{re.escape(name)}(?:-(\d+))?', path.name) for path in WORK_DIRS.glob('*')
    }
    numbers = {path: int(match[1] or 1) for path, match in matches.items() if match}
    return sorted(numbers, key=lambda path: -numbers[path])


def _holds(folder: Path, traces: tuple[str, ...]) -> bool:
    return any(any(folder.glob(trace)) for trace in traces)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob('*.pth') if RESUMABLE.fullmatch(path.name)]
