"""Checkpoints that `--resume` can use: when a run may be saved, what a file says of it, which old ones go."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Runner

from ..config.description import VERSION, Undescribable, describe
from .work_dir import last_checkpoint

LIBRARIES = ('vitdense', 'torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg')


class SafePoints:
    """When a run can be saved: between two iterations, or in a validation.

    Attributes:
        safe: whether the run's state is that after a number of whole iterations.
        finished: how many iterations those are; 0 where this process has finished none.
        averaged: whether the model has the average's weights and the average the model's, as while MMEngine's
            EMAHook validates.
    """

    def __init__(self) -> None:
        self.safe = False
        self.finished = 0
        self.averaged = False

    def before(self, event: str) -> None:
        """The hooks of an event are about to be called, one after the other."""
        if event in ('before_train_iter', 'after_train_epoch', 'before_val_epoch', 'after_val_epoch'):
            self.safe = False

    def after(self, event: str, iteration: int) -> None:
        """The hooks of an event have been called."""
        if event == 'after_train_iter':
            self.finished = iteration + 1
        if event in ('before_val_epoch', 'after_val_epoch'):
            self.averaged = event == 'before_val_epoch'
        if event in ('after_train_iter', 'before_train_epoch', 'before_val_epoch', 'after_val_epoch'):
            self.safe = self.finished > 0


def description_of(runner: Any, scores: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its run, as plain data, so that it needs no config beside it.

    Args:
        runner: of the run.
        scores: of a validation of these weights, by their names; none, where there was none.

    Returns:
        version: of this layout.
        name: of the config.
        config: `describe` of it; None with the reason in `undescribed`, where it holds an object.
        scores: as given.
        versions: of the libraries.
    """
    config, undescribed = None, ''
    try:
        config = describe(runner.cfg)
    except Undescribable as error:
        undescribed = str(error)
    return dict(
        version=VERSION,
        name=Path(runner.cfg.filename or 'model').stem,
        config=config,
        undescribed=undescribed,
        scores={name: float(score) for name, score in scores.items()},
        versions={name: str(sys.modules[name].__version__) for name in LIBRARIES if name in sys.modules},
    )


def save(runner: Any, iterations: int) -> None:
    """Save a run after a number of iterations, whatever the checkpoint hook's interval.

    A run that was validating has to end with this.
    """
    if runner.safe_points.averaged:
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)
    name = f'iter_{iterations}.pth'
    meta = dict(epoch=runner.epoch, iter=iterations)
    runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False)
    if runner.rank == 0:
        Path(runner.work_dir, 'last_checkpoint').write_text(name)


def save_if_safe(runner: Any) -> str:
    """Save a training that an error has ended, unless it was in the middle of an iteration.

    Returns:
        where `--resume` continues, in words.
    """
    points = runner.safe_points
    if not points.finished:
        return ''
    if not points.safe:
        newest = last_checkpoint(Path(runner.work_dir))
        return f'\n  in the middle of an iteration; --resume continues from {newest.name}' if newest else ''
    save(runner, points.finished)
    return f'\n  saved after iteration {points.finished}; --resume continues'


class SafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook removes an old checkpoint before it saves: a kill may cost the last one.

    Here it may keep one more while it saves, and the surplus is removed afterwards; so is the previous best.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.kept = self.max_keep_ckpts
        if self.kept > 0:
            self.max_keep_ckpts += 1

    def before_train(self, runner: Runner) -> None:
        known = runner.message_hub.runtime_info
        for key in [key for key in known if key.startswith('best_ckpt')]:
            moved = Path(runner.work_dir, Path(known[key]).name)
            if not Path(known[key]).is_file() and moved.is_file():  # with the run's whole folder
                known[key] = str(moved)
        super().before_train(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._remove_surplus()

    def after_train_epoch(self, runner: Runner) -> None:
        super().after_train_epoch(runner)
        self._remove_surplus()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best or not metrics.keys() >= set(self.key_indicators) - {'auto'}:
            return  # the last lines of the run say so
        remove, previous = self.file_backend.remove, list[str]()
        self.file_backend.remove = previous.append
        super()._save_best_checkpoint(runner, metrics)
        self.file_backend.remove = remove
        known = runner.message_hub.runtime_info
        best = {known[key] for key in known if key.startswith('best_ckpt')}
        for path in previous:
            # not of a run resumed from, and not what has just been written under the same name
            if Path(path).absolute().parent == Path(self.out_dir).absolute() and path not in best:
                remove(path)

    def _remove_surplus(self) -> None:
        while 0 < self.kept < len(self.keep_ckpt_ids):
            path = f'{self.out_dir}/{self.filename_tmpl.format(self.keep_ckpt_ids.popleft())}'
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)
