"""Batch and learning rate against those that a schedule was published with."""

from collections.abc import Iterator

from mmengine.dist import get_world_size
from mmengine.runner import Runner

from .finding import Finding, Level


def recipe(runner: Runner) -> Iterator[Finding]:
    """A doubt where the batch is another than the schedule's, and the learning rate does not follow."""
    scaling = runner.cfg.get('auto_scale_lr')
    if not scaling:
        return
    wrapper = runner.optim_wrapper
    batch = runner.train_dataloader.batch_sampler.batch_size * get_world_size()
    batch *= getattr(wrapper, '_accumulative_counts', 1)
    base = scaling['base_batch_size']
    if batch == base or scaling.get('enable'):
        return
    rate = wrapper.optimizer.defaults['lr']
    text = (
        f'batch {batch}, the schedule was made for {base}: learning rate {rate:g} would become '
        f'{rate * batch / base:g} with --cfg-options auto_scale_lr.enable=True'
    )
    yield Finding('recipe', text, Level.DOUBT)
