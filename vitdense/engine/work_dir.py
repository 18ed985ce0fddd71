"""Where a run writes; a new run never overwrites an earlier one, nor writes where another one is running."""

import os
import re
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from mmengine.config import Config

from ..checkpoint import check_sums
from ..console import display_path, make_console
from ..errors import UserError
from ..folder_lock import lock, locked

WORK_DIRS = Path('work_dirs')
CONFIG_FILE = '.config_file'  # holds the path of the config that a folder is a run of
TRAINED = ('*.pth', 'last_checkpoint', 'not_finite')  # left by a training
PAGE = 'report.html'
TESTED = ('predictions.png', PAGE)  # left by a test
RESUMABLE = re.compile(r'(?:epoch|iter)_\d+\.pth')  # the best checkpoint is weights alone


def own_work_dir(cfg: Config) -> str | None:
    """The `work_dir` of a config; not of one that a run has saved there, from which a new run may start."""
    folder = cfg.get('work_dir')
    if folder and Path(folder).absolute() == Path(cfg.filename).absolute().parent:
        return None
    return folder


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
        UserError: the wanted one already holds results of an earlier run, or another run is running in it.
    """
    if wanted is not None and _holds(Path(wanted), TESTED):
        raise UserError(
            f'--work-dir {wanted} holds the results of an earlier run; another --work-dir, or none, '
            f'leaves them alone'
        )
    return _new(wanted, f'{name}-test', TESTED)


def _new(wanted: str | None, name: str, traces: tuple[str, ...]) -> Path:
    if wanted is not None:
        return locked(Path(wanted))
    return next(path for path in _numbered(name) if not _holds(path, traces) and not lock(path))


def record_config(folder: Path, config: str) -> None:
    """Note which config a folder is a run of: two in different folders can have the same name.

    Its path is relative to the folder, so that both can be moved together.
    """
    (folder / CONFIG_FILE).write_text(f'{os.path.relpath(config, folder)}\n')


def resumed_run(
    wanted: str | None, name: str, checkpoint: str, config: str | None = None
) -> tuple[Path, Path]:
    """The folder, locked, and the checkpoint of the run that `--resume` or `--resume CHECKPOINT` continues.

    Args:
        wanted: the folder, if one is asked for.
        name: of the config.
        checkpoint: a path, or 'auto' for the newest one.
        config: path of the config; its runs are searched, and not those of another config of the same name.

    Raises:
        UserError: there is nothing to resume, or another run is running there.
    """
    if checkpoint != 'auto':
        path = Path(checkpoint)
        if not path.is_file():
            raise UserError(f'--resume {checkpoint}: no such checkpoint file')
        return locked(Path(wanted) if wanted else path.parent), path
    others = ''
    for folder in [Path(wanted)] if wanted is not None else _runs_of(name):
        if not _checkpoints(folder):
            continue
        if wanted is None and config and (other := _other_config(folder, config)):
            others += f'; {display_path(folder)} is a run of {display_path(other)}'
            continue
        return locked(folder), _newest(folder)
    where = wanted or display_path(WORK_DIRS / name)
    raise UserError(
        f'--resume: no checkpoint in {where}{others}; give one (--resume CHECKPOINT) or start without it'
    )


def _other_config(folder: Path, config: str) -> str:
    """The config that a folder is a run of, if that is there, and another one."""
    record = folder / CONFIG_FILE
    known = folder / record.read_text().strip() if record.is_file() else folder
    return os.path.normpath(known) if known.is_file() and not known.samefile(config) else ''


def last_checkpoint(work_dir: Path) -> Path | None:
    """The newest checkpoint of a run."""
    record = work_dir / 'last_checkpoint'
    name = Path(record.read_text().strip()).name if record.is_file() else ''
    return work_dir / name if name else None


def trained_model(place: str | Path) -> Path:
    """The checkpoint of a trained model: the file itself, or the best one of a work dir, or else its newest.

    Raises:
        UserError: there is none.
    """
    path = Path(place)
    if path.is_file():
        return path
    best = sorted(path.glob('best_*.pth'), key=lambda file: file.stat().st_mtime)
    found = best[-1] if best else last_checkpoint(path)
    if found is None or not found.is_file():
        what = 'no checkpoint in this folder' if path.is_dir() else 'no such checkpoint file'
        raise UserError(f'{place}: {what}')
    return found


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
