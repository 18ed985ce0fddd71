"""Where a run writes; a new run never writes over an earlier one."""

import zipfile
from itertools import count
from pathlib import Path

from ..checkpoint import check_sums
from .console import make_console, shown
from .errors import UserError

HOME = Path('work_dirs')


def new_work_dir(wanted: str | None, name: str) -> Path:
    """The folder of a new training run: the one that is wanted, or work_dirs/<name>, <name>-2, ….

    Raises:
        UserError: the wanted one already holds checkpoints.
    """
    if wanted is None:
        return next(path for path in _numbered(name) if not _checkpoints(path))
    if _checkpoints(Path(wanted)):
        raise UserError(
            f'--work-dir {wanted} holds the checkpoints of an earlier run; --resume goes on with it, '
            f'another --work-dir begins anew'
        )
    return Path(wanted)


def resumed_run(wanted: str | None, name: str, checkpoint: str) -> tuple[Path, Path]:
    """The folder and the checkpoint to go on with, for `--resume` or `--resume CHECKPOINT`.

    Raises:
        UserError: there is nothing to resume.
    """
    if checkpoint != 'auto':
        path = Path(checkpoint)
        if not path.is_file():
            raise UserError(f'--resume {checkpoint}: no such checkpoint file')
        return (Path(wanted) if wanted else path.parent), path
    if wanted is not None:
        folders = [Path(wanted)]
    else:
        folders = []
        for path in _numbered(name):
            if not _checkpoints(path):
                break
            folders.append(path)
    for folder in reversed(folders):
        if _checkpoints(folder):
            return folder, _newest(folder)
    place = wanted or shown(HOME / name)
    raise UserError(f'--resume: no checkpoint in {place}; give one (--resume CHECKPOINT) or start without it')


def last_checkpoint(work_dir: Path) -> Path | None:
    """The newest checkpoint of a run."""
    record = work_dir / 'last_checkpoint'
    return work_dir / Path(record.read_text().strip()).name if record.is_file() else None


def _newest(folder: Path) -> Path:
    """The newest checkpoint that is whole; damaged ones are named.

    Raises:
        UserError: there is none.
    """
    recorded = last_checkpoint(folder)
    others = sorted(folder.glob('*.pth'), key=lambda path: path.stat().st_mtime, reverse=True)
    damaged = []
    for path in dict.fromkeys([recorded, *others] if recorded else others):
        if path.is_file() and _is_whole(path):
            if damaged:
                make_console().print(f'[yellow]{_named(damaged)}[/]: damaged; {shown(path)} is used')
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


def _numbered(name: str):
    yield HOME / name
    yield from (HOME / f'{name}-{number}' for number in count(2))


def _checkpoints(folder: Path) -> bool:
    return any(folder.glob('*.pth')) or (folder / 'last_checkpoint').is_file()
