"""`--ema`: an average of the weights, which is validated, kept as the best and drawn in place of the last."""

import contextlib
from collections.abc import Iterator

from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from ..errors import UserError

# A power function average of relative width 0.05 (Karras et al., CVPR 2024, section 3.1, there gamma 17).
GAMMA = 18


def average_weights(runner: Runner) -> bool:
    """Register MMEngine's EMAHook for a run, unless its config has one.

    At its iteration t the average takes a share of GAMMA / (GAMMA + t) of the weights: it is about the mean
    of the last twentieth of all iterations so far. So one rule suits every length, also one that is not known
    ahead: the share is 0.05 after 340 iterations, and 0.0002 after 90,000, as MMDetection's configs have it.
    Running statistics of norms are averaged with the weights.

    Returns:
        whether the hook is new.

    Raises:
        UserError: the model is sharded.
    """
    if any(isinstance(hook, EMAHook) for hook in runner.hooks):
        return False
    if runner.cfg.get('shard'):
        raise UserError('--ema keeps a second model whole on each process, and shard=True has none whole')
    never = 1e-9  # a least share, under which the rule's does not fall
    runner.register_hook(
        EMAHook(ema_type='MomentumAnnealingEMA', gamma=GAMMA, momentum=never, update_buffers=True)
    )
    return True


@contextlib.contextmanager
def averaged(runner: Runner) -> Iterator[None]:
    """For a while the model of a training that has ended has the averaged weights, if there are."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in hooks:
        hook.before_val_epoch(runner)
    try:
        yield
    finally:
        for hook in hooks:
            hook.after_val_epoch(runner)
