"""A resumed run: it has the seed and the place in the epoch of the run that was saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from ..checkpoint import SAFE_GLOBALS, read
from ..data.reproducible import seed_all
from ..errors import UserError
from ..mmengine_internals import is_resuming, resume_data
from .processes import unwrapped


def resume_from(cfg: Config, checkpoint: Path) -> None:
    """Make a config resume the run of a checkpoint, in place.

    The seed is read here, because MMEngine reads it when the order of the images is already drawn.

    Raises:
        UserError: the checkpoint cannot be read, or the config asks for another seed.
    """
    try:
        contents = read(checkpoint, allow=SAFE_GLOBALS)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    cfg.resume, cfg.load_from = True, str(checkpoint)
    meta = contents.get('meta') if isinstance(contents, Mapping) else None
    saved = meta.get('seed') if isinstance(meta, Mapping) else None
    if not isinstance(saved, int):
        return
    randomness = cfg.get('randomness') or {}
    if randomness.get('seed') not in (None, saved):
        raise UserError(
            f'{checkpoint}: this run was started with seed {saved}, and cannot be resumed with another; '
            f'randomness.seed is {randomness["seed"]}'
        )
    cfg.randomness = dict(randomness, seed=saved)


def refuse_without_options(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to resume without what the run was started with, and its checkpoint depends on.

    Raises:
        UserError: names the option.
    """
    if 'ema_state_dict' in checkpoint and not any(isinstance(hook, EMAHook) for hook in runner.hooks):
        raise UserError(
            'this run keeps an average of its weights, which its checkpoint has in their place: --resume '
            'needs --ema, or the EMAHook of its config'
        )
    limited = checkpoint.get('meta', {}).get('time_limit')
    if limited and not any(hasattr(hook, 'minutes') for hook in runner.hooks):
        raise UserError(
            f'this run was started with --max-minutes, and its schedule follows the time: --resume needs '
            f'--max-minutes, of which it has had {limited["seconds"] / 60:.3g}'
        )


def iteration_by_epochs(runner: Runner) -> int:
    """The iteration that a run which is about to start is at by its epochs, of the length they have now.

    Another than its own, if it was started with another batch size: MMEngine's loop counts the epochs.
    """
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return loop.iter
    return loop.epoch * len(loop.dataloader) + getattr(loop.dataloader.batch_sampler, 'skip', 0)


def final_iteration(runner: Runner) -> int:
    """At which a run that is about to start will end."""
    return runner.iter + max(runner.max_iters - iteration_by_epochs(runner), 0)


class PositionHook(Hook):
    """Counts the samples of the epoch, seeds each iteration, and skips what a resumed run has already seen.

    A checkpoint holds the number of samples that all processes together have drawn of the epoch, in
    `meta['samples']`.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.samples = 0

    def before_train(self, runner: Runner) -> None:
        loop, batches = runner.train_loop, runner.train_loop.dataloader.batch_sampler
        if self.samples == 0:
            return
        batches.skip = self.samples // (batches.batch_size * get_dist_info()[1])
        if isinstance(loop, EpochBasedTrainLoop):
            return
        epoch = 0
        if not isinstance(batches.sampler, InfiniteSampler):
            epoch, batches.skip = divmod(batches.skip, len(batches))
            batches.sampler.set_epoch(epoch)
        resume_data(loop, epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """For dropout, stochastic depth and sampled regions."""
        seed_all(runner.seed, runner.iter, get_dist_info()[0])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.samples += runner.train_loop.dataloader.batch_sampler.batch_size * get_dist_info()[1]

    def after_train_epoch(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self.samples = 0

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta']['samples'] = self.samples
        # OneCycleLR's holds a method, which it has anyway, and with which a file is not loaded
        if 'param_schedulers' in checkpoint:
            checkpoint['param_schedulers'] = _without_methods(checkpoint['param_schedulers'])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if is_resuming(runner):
            self.samples = checkpoint.get('meta', {}).get('samples', 0)


def _without_methods(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _without_methods(value) for key, value in state.items() if not callable(value)}
    return [_without_methods(one) for one in state] if isinstance(state, list) else state


class GradientHook(Hook):
    """Keeps the gradients of accumulated batches in a checkpoint that is saved between two optimizer steps.

    With several processes, each has gradients of its own, and a checkpoint is of one: they are not kept.
    """

    def __init__(self) -> None:
        self.gradients: Mapping[str, Tensor] = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if get_dist_info()[1] == 1:
            named = unwrapped(runner).named_parameters()
            gradients = {name: p.grad.cpu() for name, p in named if p.grad is not None}
            if gradients:
                checkpoint['gradients'] = gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if is_resuming(runner):
            self.gradients = checkpoint.get('gradients', {})

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Not before the preflight check has taken its own step."""
        if self.gradients:
            for name, parameter in unwrapped(runner).named_parameters():
                if name in self.gradients:
                    parameter.grad = self.gradients[name].to(parameter.device)
            self.gradients = {}
