"""What a machine does to a run, in a sentence: an unreadable file, a process that died, a full disk."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from ..data.unreadable import Unreadable
from ..errors import OwnError
from .save import save_if_whole

# torch's words
DIED = re.compile(r'DataLoader worker \(pid.*\) (?:is killed by signal: (\w+)|exited unexpectedly)')


@contextmanager
def told(runner: Runner) -> Iterator[None]:
    """While a run goes on, or a test.

    Raises:
        OwnError: for what the machine did; a training is saved before, so that `--resume` goes on.
    """
    try:
        yield
    except Unreadable as error:
        # from a loading process it comes with the whole traceback of there
        what = str(error).strip().splitlines()[-1].rpartition('Unreadable: ')[2]
        hint = 'tools/check_data.py finds all such files, --skip-unreadable N goes on without up to N'
        raise OwnError(f'{what}\n  {hint}{_saved(runner)}') from error
    except torch.OutOfMemoryError as error:
        what = str(error).splitlines()[0].partition('. ')[0]
        hint = 'a smaller train_dataloader.batch_size, --amp, model.backbone.with_cp=True, smaller images'
        raise OwnError(f'{what}\n  what takes less: {hint}') from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = error.filename or runner.work_dir
        kept = '; the checkpoints before are whole, --resume goes on from the newest'
        raise OwnError(f'{where}: {error.strerror}{kept}') from error
    except RuntimeError as error:
        if not (died := DIED.search(str(error))):
            raise
        how = f' by {died[1]}' if died[1] else ''
        hint = 'often of too little memory: fewer of them (num_workers), a larger /dev/shm, a smaller batch'
        raise OwnError(f'a process that loads data was ended{how}, {hint}{_saved(runner)}') from error


def _saved(runner: Runner) -> str:
    """Not with several processes, of which the others do not know that this one wants to save."""
    return save_if_whole(runner) if get_world_size() == 1 else ''
