"""Where a run comes from: loaded weights, the schedule's batch size, and the config of a resumed run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import EarlyStoppingHook
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..config.description import changed_from
from ..config.text import differences
from ..console import display_path, plural, spread
from ..data.dataset import classes_of
from ..engine.patience import PatienceHook
from ..engine.processes import unwrapped
from ..engine.resume import final_iteration, iteration_by_epochs
from ..findings import Finding, Level, first_few
from ..mmengine_internals import accumulated_batches, is_resuming, optim_wrappers, param_schedulers
from ..model_state import in_mode
from ..weights import Start, named_files

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def loaded_weights(runner: Runner) -> Iterator[Finding]:
    """The share of each part that came from a file, and what did not fit; an error where nothing fits."""
    model, record = unwrapped(runner), runner.weight_record
    shares = record.shares(model)
    for name, file in named_files(model):
        loaded = record.loaded | {
            key: share for start in record.starts for key, share in start.shares.items()
        }
        if not any(parameter.startswith(f'{name}.' if name else '') for parameter in loaded):
            place = f'model.{name}.init_cfg' if name else 'model.init_cfg'
            text = f'{place} names {file}, and no weight in it fits by name and shape'
            yield Finding('loaded', text, Level.ERROR)
    if any(shares.values()):
        text = ', '.join(f'{part} {share:.0%}' for part, share in _merged(shares).items())
        yield Finding('loaded', text)
    names = classes_of(runner.train_dataloader.dataset)
    for start in record.starts:
        yield from _start(start, names)


def tested_config(runner: Runner) -> Iterator[Finding]:
    """The config of a test against the one that the checkpoint carries, in what makes its predictions."""
    if changed := changed_from(runner.loaded_meta, runner.cfg):
        text = f'not those that the checkpoint was trained with: {first_few(changed)}'
        yield Finding('config', text, Level.WARNING)


def _start(start: Start, names: Sequence[str]) -> Iterator[Finding]:
    heads = any(not name.startswith('backbone.') for name in start.shares)
    if start.classes and heads:
        new = [name for name in names if name not in start.classes]
        text = f'classes kept: {first_few(start.classes)}' + (f'; new: {first_few(new)}' if new else '')
        yield Finding('loaded', text)
    elif start.lost and heads:
        text = f'classes not kept, though {display_path(start.source)} has them: {first_few(start.lost)}'
        yield Finding('loaded', text)
    elif start.classes is not None and heads:
        yield Finding('loaded', f'no class of {display_path(start.source)} is one of the data: all are new')
    elif start.classes is None and any('_head' in name for name in start.shares):
        text = f'{display_path(start.source)} names no classes: the rows of classes are taken in their order'
        yield Finding('loaded', text, Level.WARNING)
    for odd, what in (
        (start.missing, 'not in the file'),
        (start.misshapen, 'of another shape in the file'),
        (start.unplaced, 'whose entries for the classes are not known, left as built'),
        (start.left_over, 'in the file and not in the model'),
    ):
        if odd:
            yield Finding('init', f'{plural(len(odd), "tensor")} {what}: {first_few(odd, 2)}')


def frozen(runner: Runner) -> Iterator[Finding]:
    """What does not learn and comes from no file, as MMDetection's frozen first stage without its weights."""
    if is_resuming(runner):
        return
    model, record = unwrapped(runner), runner.weight_record
    loaded = {*record.loaded, *(name for start in record.starts for name in start.shares)}
    named: list[tuple[str, Any]] = [
        (f'{name}.weight', module)
        for name, module in model.named_modules()
        if isinstance(module, (*LAYERS, _BatchNorm)) and f'{name}.weight' not in loaded
    ]
    fixed = [name for name, module in named if module.weight is not None and not module.weight.requires_grad]
    with in_mode(model, training=True):
        norms = [name for name, module in named if isinstance(module, _BatchNorm) and not module.training]
    if fixed:
        text = (
            f'{plural(len(fixed), "layer")} frozen at random weights, as no file has them: {first_few(fixed)}'
        )
        yield Finding('frozen', text, Level.WARNING)
    if norms:
        text = f'{plural(len(norms), "batch norm")} in evaluation mode, with statistics of no image'
        yield Finding('frozen', f'{text}: {first_few(norms)}', Level.WARNING)


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
    if scaling.get('enable'):
        if (counts := accumulated_batches(wrapper)) > 1:
            text = f'auto_scale_lr does not count the {counts} accumulated batches, and scales as for one'
            yield Finding('recipe', text, Level.WARNING)
        return
    if size == base:
        return
    rates = [one.optimizer.defaults['lr'] for one in optim_wrappers(wrapper).values()]
    factor = size / accumulated_batches(wrapper) / base  # MMEngine does not count accumulated batches
    text = (
        f'batch size {size}, schedule tuned for batch size {base}; auto_scale_lr.enable=True would scale the '
        f'learning rate {spread(rates, "g")} → {spread([rate * factor for rate in rates], "g")}'
    )
    yield Finding('recipe', text, Level.WARNING)


def resumed_config(runner: Runner) -> Iterator[Finding]:
    """A warning for what is not as when the run was started: it may be meant, as a longer schedule is."""
    started = runner.loaded_meta.get('cfg')
    if not is_resuming(runner) or not isinstance(started, str):
        return
    try:
        changed = sorted(differences(started, runner.cfg.pretty_text))
    except SyntaxError:  # the text of another software
        return
    changed = [f'{entry} (no effect: it is resumed)' if _is_resumed(entry) else entry for entry in changed]
    if changed:
        yield Finding(
            'resumed', f'with another config than it was started: {first_few(changed)}', Level.WARNING
        )


def resumed_epochs(runner: Runner) -> Iterator[Finding]:
    """A warning where an epoch has not as many iterations as when the run was started."""
    if is_resuming(runner) and runner.iter != (by_epochs := iteration_by_epochs(runner)):
        text = (
            f'at iteration {runner.iter}, which with {len(runner.train_dataloader)} iterations in an epoch '
            f'would be {by_epochs}: what is scheduled by iteration and what by epoch are out of step; '
            f'the run ends at iteration {final_iteration(runner)}'
        )
        yield Finding('resumed', text, Level.WARNING)


def resumable(runner: Runner) -> Iterator[Finding]:
    """A warning for what no checkpoint holds: a run that is resumed may end with other weights."""
    losses = []
    counts = accumulated_batches(runner.optim_wrapper)
    if counts > 1 and get_world_size() > 1:
        losses.append(f'the gradients of up to {counts - 1} accumulated batches')
    if any(isinstance(one, ReduceOnPlateauParamScheduler) for one in param_schedulers(runner)):
        losses.append('a validation score at the very iteration of a checkpoint, for ReduceOnPlateau')
    stopping = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
    if any(not isinstance(hook, PatienceHook) for hook in stopping):
        losses.append("EarlyStoppingHook's best score and count")
    if losses:
        yield Finding('resume', f'would be without {"; ".join(losses)}', Level.WARNING)


def _is_resumed(entry: str) -> bool:
    """Whether the checkpoint's optimizer state or schedule takes the place of a config's entry."""
    return entry.startswith(
        ('optim_wrapper.optimizer.lr', 'optim_wrapper.optimizer.weight_decay', 'param_scheduler')
    )
