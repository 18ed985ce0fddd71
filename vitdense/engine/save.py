"""A checkpoint at another moment than the checkpoint hook's, for `--resume` to go on with."""

from pathlib import Path
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from .work_dir import last_checkpoint


class Moments:
    """When a run can be saved: between two iterations, or in a validation.

    Attributes:
        whole: whether the run's state is that after a number of whole iterations.
        finished: how many iterations those are; 0 where this process has finished none.
        averaged: whether the model has the average's weights and the average the model's, as while MMEngine's
            EMAHook validates.
    """

    def __init__(self) -> None:
        self.whole = False
        self.finished = 0
        self.averaged = False

    def before(self, event: str) -> None:
        """The hooks of an event are about to be called: their changes come one after the other."""
        if event in ('before_train_iter', 'after_train_epoch', 'before_val_epoch', 'after_val_epoch'):
            self.whole = False

    def after(self, event: str, iteration: int) -> None:
        """They were."""
        if event == 'after_train_iter':
            self.finished = iteration + 1
        if event in ('before_val_epoch', 'after_val_epoch'):
            self.averaged = event == 'before_val_epoch'
        if event in ('after_train_iter', 'before_train_epoch', 'before_val_epoch', 'after_val_epoch'):
            self.whole = self.finished > 0


def save(runner: Any, iterations: int) -> None:
    """Save what so many iterations have made; the run cannot go on afterwards, if it was validating."""
    if runner.moments.averaged:
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)
    name = f'iter_{iterations}.pth'
    meta = dict(epoch=runner.epoch, iter=iterations)
    runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False)
    if runner.rank == 0:
        Path(runner.work_dir, 'last_checkpoint').write_text(name)


def save_if_whole(runner: Runner) -> str:
    """Save a training that something has broken off, if it was not in the middle of an iteration.

    Returns:
        what became of it, in words.
    """
    moments = runner.moments
    if not moments.finished:
        return ''
    if not moments.whole:
        newest = last_checkpoint(Path(runner.work_dir))
        return f'\n  in the middle of an iteration; --resume goes on from {newest.name}' if newest else ''
    save(runner, moments.finished)
    return f'\n  saved after iteration {moments.finished}; --resume goes on'
