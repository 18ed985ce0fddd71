"""How a command can end, one class a way, with its exit code.

0         done
1         `check_data` found errors, `overfit` a config that did not fit, `predict` or `explain` an unreadable
          file, a training of `study` failed; or a bug, with its traceback
2         `UserError`: command, config, data, file or machine; explained in one line on stderr
3         `NotFinite`: a loss or a gradient was not finite, and no step was taken
130, 143  `Stopped`: by Ctrl-C, by SIGTERM; a training has saved itself
141       nobody reads the output any more, as after `| head`
"""

import signal


class UserError(Exception):
    """What the user gave is wrong: command line, config, data, checkpoint or machine."""

    exit_code = 2


class RankError(UserError):
    """A user error that one process of several has met, and the others perhaps not: that one reports it."""


class NotFinite(Exception):
    """A loss or a gradient was not finite; the weights are those before it."""

    exit_code = 3


class Stopped(BaseException):
    """A training that a signal has stopped, after it was saved."""

    def __init__(self, number: int, iterations: int):
        super().__init__(f'stopped by {signal.Signals(number).name} after iteration {iterations}, and saved')
        self.exit_code = 128 + number  # as a shell has it


class PreflightPassed(BaseException):
    """`--preflight` found no error, and the training that would follow is not wanted."""

    exit_code = 0
