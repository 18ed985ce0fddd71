"""A run that ends before its schedule does leaves its last state, whatever the checkpoint hook's interval."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from .checkpoints import save


class LastStateHook(Hook):
    """Saves after the training what no checkpoint has yet."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.saved = -1  # iterations

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if 'optimizer' in checkpoint:  # not the best weights alone
            self.saved = checkpoint['meta']['iter']

    def after_train(self, runner: Runner) -> None:
        ended_early = runner.train_loop.stop_training
        if ended_early and runner.safe_points.finished and self.saved != runner.iter:
            save(runner, runner.iter)
