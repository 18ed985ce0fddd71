"""The look itself, between a run's first lines and its first iteration."""

from collections.abc import Callable, Iterator

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from ..console import say
from ..engine.together import together
from ..engine.unwrap import unwrapped
from ..errors import UserError
from .classes import classes
from .continued import continued
from .finding import Finding, Level
from .labels import labels
from .loaded import loaded
from .recipe import recipe
from .shapes import shapes
from .step import step

# What is wrong in an early one makes the later ones fail on it.
LOOKS: list[Callable[[Runner], Iterator[Finding]]] = [
    classes,
    labels,
    shapes,
    loaded,
    continued,
    recipe,
    step,
]
STYLES = {Level.FACT: ('bold', ''), Level.DOUBT: ('bold yellow', 'doubt: ')}


class Checked(BaseException):
    """A run that was to be looked at and not to be made."""


class PreflightHook(Hook):
    """Looks at a run before it trains.

    Args:
        console: where a line for each finding goes.
        alone: stop afterwards.
    """

    priority = 'VERY_LOW'

    def __init__(self, console: Console, alone: bool = False):
        self.console = console
        self.alone = alone

    def before_train(self, runner: Runner) -> None:
        """Show what is found.

        Raises:
            UserError: names all faults.
            Checked: there are none, and nothing else was wanted.
        """
        # not compiled, because these shapes come once; whole, because parts of the model are called alone
        with torch.compiler.set_stance('force_eager'), together(unwrapped(runner)):
            for look in LOOKS:
                found = list(look(runner))
                for finding in found:
                    self._show(finding)
                if faults := [finding.text for finding in found if finding.level is Level.FAULT]:
                    raise UserError('\n  '.join(['the run cannot begin:', *faults]))
        if self.alone:
            raise Checked

    def _show(self, finding: Finding) -> None:
        if finding.level is not Level.FAULT:
            style, doubt = STYLES[finding.level]
            say(self.console, finding.label, doubt + finding.text, style)
