"""The preflight check itself, between a run's first lines and its first iteration."""

from collections.abc import Callable, Iterator

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from ..console import say
from ..engine.processes import unsharded, unwrapped
from ..errors import PreflightPassed, UserError
from ..findings import Finding, Level
from .data import classes, ignore_index, labels
from .origin import batch_size, loaded_weights, resumed_config
from .shapes import shapes
from .step import step

# An error that one of them finds would make the later ones fail.
CHECKS: list[Callable[[Runner], Iterator[Finding]]] = [
    classes,
    ignore_index,
    labels,
    shapes,
    loaded_weights,
    resumed_config,
    batch_size,
    step,
]
STYLES = {Level.FACT: ('bold', ''), Level.WARNING: ('bold yellow', 'warning: ')}


class PreflightHook(Hook):
    """Checks a run before it trains.

    Args:
        console: where a line for each finding goes.
        alone: end the run afterwards.
    """

    priority = 'VERY_LOW'

    def __init__(self, console: Console, alone: bool = False):
        self.console = console
        self.alone = alone

    def before_train(self, runner: Runner) -> None:
        """Print what is found.

        Raises:
            UserError: names all errors.
            PreflightPassed: there are none, and the run should end here.
        """
        # not compiled, because these shapes come once; unsharded, because parts of the model are called alone
        with torch.compiler.set_stance('force_eager'), unsharded(unwrapped(runner)):
            for check in CHECKS:
                found = list(check(runner))
                for finding in found:
                    self._print(finding)
                if errors := [finding.text for finding in found if finding.level is Level.ERROR]:
                    raise UserError('\n  '.join(['the run cannot start:', *errors]))
        if self.alone:
            raise PreflightPassed

    def _print(self, finding: Finding) -> None:
        if finding.level is not Level.ERROR:
            style, warning = STYLES[finding.level]
            say(self.console, finding.label, warning + finding.text, style)
