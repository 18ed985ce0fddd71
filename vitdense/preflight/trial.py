"""What of the user's the check calls, a model, a pipeline or an evaluator: what it raises is a user error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.runner import Runner

from ..console import display_path
from ..data.unreadable import UnreadableFile
from ..errors import UserError


@contextmanager
def trial(runner: Runner, what: str) -> Iterator[None]:
    """While something is called that the run would call later.

    Raises:
        UserError: it failed, with the error in a line; the traceback is in the log. What the machine does
            (`faults_as_errors`) is raised as it is.
    """
    try:
        yield
    except (torch.OutOfMemoryError, OSError, UserError, UnreadableFile):
        raise
    except Exception as error:  # of any class
        runner.logger.error(what, exc_info=True)
        reason = ' '.join(f'{type(error).__name__}: {error}'.split()) or type(error).__name__
        where = f'traceback in {display_path(runner.logger.log_file)}'
        raise UserError(f'the run cannot start: {what} fails: {reason} ({where})') from error
