"""`--patience`: a run ends when its score has not become better for some validations."""

import math
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import Runner

from ..mmengine_internals import is_resuming


class PatienceHook(EarlyStoppingHook):
    """MMEngine's EarlyStoppingHook for the score that the best checkpoint is kept by.

    Here an equal score is no better one, a score that is no number counts as a worse one, and what has been
    waited for is kept in checkpoints. A validation that comes after the last checkpoint is not in it.

    Args:
        patience: validations without a better score, after which the run ends.
    """

    def __init__(self, patience: int):
        super().__init__(monitor='auto', rule='greater', min_delta=0, patience=patience)
        self.best_score: float | None = None

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        self.monitor, self.rule = monitored(runner, metrics or {})
        score = float((metrics or {}).get(self.monitor, math.nan))
        if self._is_better(score):
            self.best_score, self.wait_count = score, 0
            return
        self.wait_count += 1
        if self.wait_count >= self.patience:
            runner.train_loop.stop_training = True
            runner.logger.info(f'{self.monitor} was not better in {self.wait_count} validations')

    def _is_better(self, score: float) -> bool:
        if self.best_score is None:
            return not math.isnan(score)
        return score > self.best_score if self.rule == 'greater' else score < self.best_score

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta']['patience'] = dict(best=self.best_score, waited=self.wait_count)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if is_resuming(runner) and (kept := checkpoint.get('meta', {}).get('patience')):
            self.best_score, self.wait_count = kept['best'], kept['waited']


def monitored(runner: Runner, metrics: Mapping[str, Any]) -> tuple[str, str]:
    """The score that the best checkpoint is kept by, and whether the 'greater' or the 'less' is better.

    MMEngine's CheckpointHook resolves `save_best='auto'` at the first validation, before this is called.
    """
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best and hook.key_indicators[0] != 'auto':
            return hook.key_indicators[0], hook.rules[0] or 'greater'
    return next(iter(metrics), 'auto'), 'greater'


def set_patience(runner: Runner, patience: int) -> str:
    """Register the hook; what it takes the place of, in words."""
    before = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
    for hook in before:
        runner.hooks.remove(hook)
    runner.register_hook(PatienceHook(patience))
    return ', '.join(f"the config's of {hook.patience} for {hook.monitor}" for hook in before)
