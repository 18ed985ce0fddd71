"""One run per folder: a lock that ends with its process, however that ends."""

import errno
import os
import socket
from pathlib import Path
from typing import IO

from mmengine.dist import is_main_process

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

from .console import display_path
from .errors import UserError

LOCK = '.lock'

_locks: dict[Path, IO[str]] = {}  # held as long as this process lives


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


def locked(folder: Path) -> Path:
    """A folder, locked.

    Raises:
        UserError: another run is running there.
    """
    if other := lock(folder):
        raise UserError(f'{display_path(folder)}: another run is running there ({other})')
    return folder


def is_locked(folder: Path) -> bool:
    """Whether a process has locked a folder."""
    path = (folder / LOCK).absolute()
    if path in _locks:  # by this one, which would lose its lock where it closes the file
        return True
    if fcntl is None or not path.is_file():
        return False
    with path.open('a+') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
    return False
