"""Where a run comes from: loaded weights, the schedule's batch size, and the config of a resumed run."""

from collections.abc import Iterator, Mapping

from mmengine.dist import get_world_size
from mmengine.runner import Runner

from ..config.text import differences
from ..engine.processes import unwrapped
from ..findings import Finding, Level, first_few
from ..mmengine_internals import accumulated_batches


def loaded_weights(runner: Runner) -> Iterator[Finding]:
    """The share of each part that came from a file; an error where nothing of a file fits."""
    model = unwrapped(runner)
    for name, module in model.named_modules():
        init = getattr(module, 'init_cfg', None)
        if not isinstance(init, dict) or not init.get('checkpoint'):
            continue
        if not any(parameter.startswith(f'{name}.') for parameter in runner.weight_record.names):
            source = init['checkpoint']
            text = f'model.{name}.init_cfg names {source}, and no weight in it fits by name and shape'
            yield Finding('loaded', text, Level.ERROR)
    shares = runner.weight_record.shares(model)
    if any(shares.values()):
        text = ', '.join(f'{part} {share:.0%}' for part, share in _merged(shares).items())
        yield Finding('loaded', text)


def _merged(shares: Mapping[str, float]) -> dict[str, float]:
    """A line short enough to read: a backbone or a model that is loaded whole is one entry."""
    for prefix, name in (('', 'all weights'), ('backbone', 'backbone')):
        own = {part: share for part, share in shares.items() if part.startswith(prefix)}
        if len(own) > 1 and all(share == 1 for share in own.values()):
            rest = {part: share for part, share in shares.items() if part not in own}
            return {name: 1.0} | rest
    return dict(shares)


def batch_size(runner: Runner) -> Iterator[Finding]:
    """A warning where the batch size is not the schedule's, and the learning rate is not scaled."""
    scaling = runner.cfg.get('auto_scale_lr')
    if not scaling:
        return
    wrapper = runner.optim_wrapper
    size = runner.train_dataloader.batch_sampler.batch_size * get_world_size() * accumulated_batches(wrapper)
    base = scaling['base_batch_size']
    if size == base or scaling.get('enable'):
        return
    rate = wrapper.optimizer.defaults['lr']
    scaled = rate * size / accumulated_batches(wrapper) / base  # MMEngine does not count accumulated batches
    text = (
        f'batch size {size}, schedule tuned for batch size {base}; auto_scale_lr.enable=True would scale the '
        f'learning rate {rate:g} → {scaled:g}'
    )
    yield Finding('recipe', text, Level.WARNING)


def resumed_config(runner: Runner) -> Iterator[Finding]:
    """A warning for what is not as when the run was started: it may be meant, as a longer schedule is."""
    if not runner.resumed_config:
        return
    try:
        changed = sorted(differences(runner.resumed_config, runner.cfg.pretty_text))
    except SyntaxError:  # the text of another software
        return
    changed = [f'{entry} (no effect: it is resumed)' if _is_resumed(entry) else entry for entry in changed]
    if changed:
        yield Finding(
            'resumed', f'with another config than it was started: {first_few(changed)}', Level.WARNING
        )


def _is_resumed(entry: str) -> bool:
    """Whether the checkpoint's optimizer state or schedule takes the place of a config's entry."""
    return entry.startswith(
        ('optim_wrapper.optimizer.lr', 'optim_wrapper.optimizer.weight_decay', 'param_scheduler')
    )
