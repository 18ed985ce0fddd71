"""The preflight check itself, between a run's first lines and its first iteration."""

from collections.abc import Callable, Iterator

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from ..compat import uncompiled
from ..console import say_finding
from ..engine.processes import unsharded, unwrapped
from ..errors import PreflightPassed, UserError
from ..findings import Finding, Level
from .data import classes, epochs, ignore_index, labels, left_out, masks, other_names
from .label_maps import left_out_maps, test_label_maps, validation_label_maps
from .neighbours import other_work
from .origin import (
    batch_size,
    frozen,
    loaded_weights,
    resumable,
    resumed_config,
    resumed_epochs,
    tested_config,
)
from .precision import test_precision, training_precision
from .schedule import schedule
from .scores import (
    checkpoint_classes,
    test_heads,
    test_scores,
    validation_scores,
)
from .shapes import shapes
from .step import step
from .untouched import untouched
from .validation import saved, validation_batch

Check = Callable[[Runner], Iterator[Finding]]

# An error that one of them finds would make the later ones fail.
CHECKS: list[Check] = [
    other_work,
    epochs,
    classes,
    ignore_index,
    left_out,
    left_out_maps,
    other_names,
    masks,
    labels,
    shapes,
    loaded_weights,
    frozen,
    resumed_config,
    resumed_epochs,
    resumable,
    batch_size,
    schedule,
    saved,
    validation_scores,
    validation_label_maps,
    step,
    training_precision,
    validation_batch,
]
TEST_CHECKS: list[Check] = [
    tested_config,
    checkpoint_classes,
    test_heads,
    test_scores,
    test_label_maps,
    test_precision,
]


class PreflightHook(Hook):
    """Checks a run before it trains, or tests.

    Args:
        console: where a line for each finding goes.
        alone: end the run afterwards.
        passed: called with the runner where a training can start.
    """

    priority = 'VERY_LOW'

    def __init__(self, console: Console, alone: bool = False, passed: Callable[[Runner], None] | None = None):
        self.console = console
        self.alone = alone
        self.passed = passed
        self.tested = False

    def before_train(self, runner: Runner) -> None:
        """Print what is found.

        Raises:
            UserError: names all errors.
            PreflightPassed: there are none, and the run should end here.
        """
        # not compiled, because these shapes come once; unsharded, because parts of the model are called alone
        model, dataset = unwrapped(runner), runner.train_dataloader.dataset
        with uncompiled(), unsharded(model), untouched(model, dataset):
            self._check(runner, CHECKS)
            if self.passed and is_main_process():
                self.passed(runner)
        if self.alone:
            raise PreflightPassed

    def before_test(self, runner: Runner) -> None:
        """Print what is found.

        Raises:
            UserError: names all errors.
        """
        if not self.tested:  # a checkpoint can be tested several times in a run
            self.tested = True
            self._check(runner, TEST_CHECKS)

    def _check(self, runner: Runner, checks: list[Check]) -> None:
        for check in checks:
            found = list(check(runner))
            runner.findings = (*getattr(runner, 'findings', ()), *found)
            for finding in found:
                if finding.level is not Level.ERROR:
                    say_finding(self.console, finding)
            if errors := [finding.text for finding in found if finding.level is Level.ERROR]:
                raise UserError('\n  '.join(['the run cannot start:', *errors]))
