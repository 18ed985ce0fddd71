"""The terminal, for what a person should see, and the log file, which gets everything.

MMEngine and the libraries under it print their environment, their config and many warnings; none of it is
lost, all of it goes to the log.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from logging.handlers import MemoryHandler
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from rich.console import Console
from rich.text import Text

from .findings import Finding, Level

STYLES = {
    Level.FACT: ('bold', ''),
    Level.WARNING: ('bold yellow', 'warning: '),
    Level.ERROR: ('bold red', 'error: '),
}

# Records from before there is a log file; it then begins with them.
_early = MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize)


class _Terminal(Console):
    """Rich's console, which would exit with 1 where nobody reads its output any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _ToLog(io.TextIOBase):
    """A stream whose lines become log records."""

    def __init__(self) -> None:
        self.rest = ''

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split('\n')
        for line in filter(str.strip, lines):
            MMLogger.get_current_instance().info(line)
        return len(text)


def make_console() -> Console:
    """The real standard output, also while `quiet` holds `sys.stdout`; silent on all processes but the main.

    Where the output is no terminal, lines are not folded, so that a log can be searched.
    """
    terminal = sys.__stdout__
    wide = None if terminal and terminal.isatty() else 160
    silent = not is_main_process()
    return _Terminal(file=terminal, quiet=silent, width=wide, highlight=False, soft_wrap=True)


def say(console: Console, label: str, text: str, style: str = 'bold', width: int = 9) -> None:
    """A line with a label. What is in brackets, as a path may have it, is text and no markup."""
    console.print(Text.assemble((f'{label:>{width}}', style), f'  {text}'))


def say_finding(console: Console, finding: Finding) -> None:
    """A line, which says so where it is a warning or an error."""
    style, words = STYLES[finding.level]
    say(console, finding.label, words + finding.text, style)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what libraries print and warn to the log instead of the terminal."""
    first = MMLogger.get_current_instance()  # until the runner has its own
    first.addHandler(_early)
    file_only(first)
    logging.captureWarnings(True)
    log = _ToLog()
    with contextlib.redirect_stdout(log):
        try:
            yield
        finally:
            log.write('\n')  # a last line that nobody ended
            logging.captureWarnings(False)
            first.removeHandler(_early)
            _early.buffer.clear()


def file_only(logger: logging.Logger) -> None:
    """Keep a logger's records and Python's warnings in its files; critical ones alone reach the terminal."""
    warnings = logging.getLogger('py.warnings')
    warnings.handlers.clear()
    warnings.propagate = False
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            warnings.addHandler(handler)
            _early.setTarget(handler)
            _early.flush()
            _early.setTarget(None)
        elif isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
    if not warnings.handlers:
        warnings.addHandler(_early)


def plural(count: int, noun: str) -> str:
    return f'{count or "no"} {noun}' + ('' if count in (0, 1) else 's')


def spread(values: list[float], form: str) -> str:
    """One number, or the least and the greatest of several."""
    least, greatest = min(values), max(values)
    return f'{least:{form}}' if least == greatest else f'{least:{form}} to {greatest:{form}}'


def display_path(path: str | Path) -> str:
    """A path as a person would type it: relative to the working folder where it lies inside."""
    path = Path(path).absolute()
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
