"""A run on the terminal: what is about to happen, a progress bar, a table of scores.

Where the output is no terminal (a log file, CI, Slurm), the bar becomes plain lines at intervals.
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..console import plural, say, spread
from ..engine.resume import final_iteration
from ..engine.time_limit import time_limit
from .curves import record_session
from .preamble import group_values, preamble
from .scores import score_tables

SECONDS_BETWEEN_LINES = 15  # where there is no terminal


class ProgressHook(Hook):
    """Shows training, validation and testing on a console; MMEngine's LoggerHook writes to the log file.

    Args:
        console: of `make_console()`.
    """

    priority = 'VERY_LOW'  # after the hooks that compute what is shown

    def __init__(self, console: Console):
        self.console = console
        self.bar: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.announced = False
        self.rates: list[float] = []
        self.last_line = 0.0
        self.total = 0  # the iteration at which the training ends
        self.opened: dict[str, tuple[float, int]] = {}  # when each task began, and how far along

    def before_train(self, runner: Runner) -> None:
        self._announce(runner, training=True)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.rates = group_values(runner.optim_wrapper, 'lr')  # which this iteration's step is taken with

    def before_train_epoch(self, runner: Runner) -> None:
        if 'train' not in self.opened:
            record_session(runner)
            self.total = final_iteration(runner)
            self._open('train', self.total, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if time_limit(runner):
            self.total = runner.max_iters  # as it looks now
        values = f'{_smoothed(runner)}  lr {spread(self.rates, ".1e")}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            values = f'epoch {runner.epoch + 1}/{runner.max_epochs}  {values}'
        self._advance('train', runner.iter + 1, self.total, values)

    def after_train(self, runner: Runner) -> None:
        self.close()
        limit = time_limit(runner)
        if limit and limit.over:
            done = f'after iteration {runner.iter} (the schedule has {limit.nominal})'
            say(self.console, 'ended', f'{done}: --max-minutes {limit.minutes:g}')
            return
        epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if runner.epoch < runner.max_epochs if epochs else runner.iter < self.total:
            why = ', '.join(
                f'{hook.monitor} is not better after {plural(hook.patience, "more validation")}'
                for hook in runner.hooks
                if isinstance(hook, EarlyStoppingHook)
            )
            done = f'after iteration {runner.iter} of {self.total}'
            say(self.console, 'ended', f'{done}: {why or "a hook stopped the training"}')

    def before_val_epoch(self, runner: Runner) -> None:
        # MMEngine may count validations in epochs: with this, their records have the iteration, too
        runner.message_hub.update_scalar('val/iter', runner.iter)
        self._open('val', len(runner.val_dataloader))

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._advance('val', batch_idx + 1, len(runner.val_dataloader))

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        self._finish('val')
        when = f'iteration {runner.iter}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            when = f'epoch {runner.epoch}'
        self._scores(metrics, runner.val_evaluator, f'validation after {when}')

    def before_test(self, runner: Runner) -> None:
        self._announce(runner, training=False)

    def before_test_epoch(self, runner: Runner) -> None:
        self._open('test', len(runner.test_dataloader))

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._advance('test', batch_idx + 1, len(runner.test_dataloader))

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        self.close()
        self._scores(metrics, runner.test_evaluator, 'test')

    def _announce(self, runner: Runner, training: bool) -> None:
        if not self.announced:  # a checkpoint can be tested several times in a run
            for label, text in preamble(runner, training):
                say(self.console, label, text)
            self.announced = True

    def _open(self, task: str, total: int, done: int = 0) -> None:
        self.last_line = time.monotonic()
        self.opened[task] = self.last_line, done
        if not self.console.is_terminal or self.console.quiet:
            return
        if self.bar is None:
            self.bar = Progress(
                TextColumn('{task.description:>9}'),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn('eta'),
                TimeRemainingColumn(),
                TextColumn('{task.fields[values]}'),
                console=self.console,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.bar.start()
        self.tasks[task] = self.bar.add_task(task, total=total, completed=done, values='')

    def _advance(self, task: str, done: int, total: int, values: str = '') -> None:
        if self.bar is not None:
            self.bar.update(self.tasks[task], completed=done, total=total, values=values)
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or (task == 'train' and done == total):
            self.last_line = now
            began, before = self.opened[task]
            pace = (now - began) / max(done - before, 1)
            left = timedelta(seconds=round(pace * (total - done)))
            say(self.console, task, f'{done}/{total}  {pace:.2f} s/it  eta {left}  {values}', style='')

    def _finish(self, task: str) -> None:
        if self.bar is not None:
            self.bar.remove_task(self.tasks.pop(task))

    def close(self) -> None:
        """Give the terminal back, with its cursor."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _scores(self, metrics: Mapping[str, float] | None, evaluator: Any, title: str) -> None:
        for table in score_tables(metrics or {}, evaluator, title):
            self.console.print(table)


def _smoothed(runner: Runner) -> str:
    """Mean losses over the last iterations."""
    scalars = runner.message_hub.log_scalars
    window = runner.log_processor.window_size
    losses = {
        name.removeprefix('train/'): history.mean(min(window, len(history.data[0])))
        for name, history in scalars.items()
        if name.startswith('train/') and 'loss' in name
    }
    total = losses.pop('loss')
    parts = ' '.join(f'{name.removeprefix("loss_")} {value:.3f}' for name, value in losses.items())
    return f'loss {total:.3f} ({parts})' if parts else f'loss {total:.3f}'
