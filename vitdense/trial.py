"""Calls of the user's or a library's code, of which an error is a user error, its traceback in the log."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

import torch
from mmengine.logging import MMLogger

from .console import display_path
from .errors import UserError


@contextmanager
def trial(what: str) -> Iterator[None]:
    """While something is built from a config, or called that the run would call later.

    Args:
        what: cannot be done, in words.

    Raises:
        UserError: `what`, and the error in a line. What the machine does (`engine/faults.py`) is raised as
            it is.
    """
    try:
        yield
    except (torch.OutOfMemoryError, OSError, UserError):
        raise
    except Exception as error:  # of any class
        log = MMLogger.get_current_instance()
        log.error(what, exc_info=True)
        where = f' (traceback in {display_path(log.log_file)})' if log.log_file else ''
        raise UserError(f'{what}: {_reason(error)}{where}') from error


def _reason(error: Exception) -> str:
    """What an error says, in a line; of one that says nothing, which function raised it."""
    if said := ' '.join(str(error).split()):
        return f'{type(error).__name__}: {said}'
    *_, (frame, _) = walk_tb(error.__traceback__)
    code = frame.f_code
    return f'{type(error).__name__} in {getattr(code, "co_qualname", code.co_name)}'  # Python 3.11
