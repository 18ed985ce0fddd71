"""What the machine does to a run, as a user error: an unreadable file, too little memory, a full disk."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from ..data.unreadable import UnreadableFile
from ..errors import RankError
from .checkpoints import save_if_safe
from .processes import unwrapped

# torch's words
WORKER_KILLED = re.compile(r'DataLoader worker \(pid.*\) (?:is killed by signal: (\w+)|exited unexpectedly)')


@contextmanager
def faults_as_errors(runner: Runner) -> Iterator[None]:
    """While a training or a test runs.

    Raises:
        RankError: for what the machine did; a training is saved before, so that `--resume` continues.
    """
    try:
        yield
    except UnreadableFile as error:
        # from a data-loading worker it comes with the worker's whole traceback
        what = str(error).strip().splitlines()[-1].rpartition('UnreadableFile: ')[2]
        hint = 'vitdense check_data finds all such files'
        if unwrapped(runner).training:  # a score without some images is another score
            hint += ', --skip-unreadable N skips up to N'
        raise RankError(f'{what}\n  {hint}{_saved(runner)}') from error
    except torch.OutOfMemoryError as error:
        what = str(error).splitlines()[0].partition('. ')[0]
        hint = 'a smaller train_dataloader.batch_size, --amp, model.backbone.with_cp=True, smaller images'
        raise RankError(f'{what}\n  what takes less: {hint}') from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = error.filename or runner.work_dir
        kept = '; the checkpoints before are whole, --resume continues from the newest'
        raise RankError(f'{where}: {error.strerror}{kept}') from error
    except RuntimeError as error:
        if not (killed := WORKER_KILLED.search(str(error))):
            raise
        how = f' ({killed[1]})' if killed[1] else ''
        hint = (
            'often for lack of memory: fewer workers (num_workers), a larger /dev/shm, a smaller batch size'
        )
        raise RankError(f'a data-loading worker was killed{how}, {hint}{_saved(runner)}') from error


def _saved(runner: Runner) -> str:
    """Not with several processes, of which the others do not know that this one wants to save."""
    return save_if_safe(runner) if get_world_size() == 1 else ''
