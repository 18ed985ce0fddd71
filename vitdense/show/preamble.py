"""The dozen lines that a run starts with: what is about to happen, so that a mistake is seen at once."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from .. import __version__, mmcv_ops, threads
from ..config.tree import name_of
from ..console import display_path, plural, spread
from ..data.dataset import classes_of, leaf_datasets
from ..engine.calibrate import IMAGES, CalibrateHook
from ..engine.precision import is_compiled
from ..engine.processes import unwrapped
from ..engine.time_limit import time_limit
from ..findings import first_few
from ..mmengine_internals import accumulated_batches, checkpoint_source, is_resuming, optim_wrappers
from ..model_state import in_mode
from ..weights import named_files


def preamble(runner: Runner, training: bool) -> Iterator[tuple[str, str]]:
    """Label and text of each line, for a run that trains or one that tests."""
    model = unwrapped(runner)
    cfg = runner.cfg
    yield 'vitdense', f'{__version__}, torch {torch.__version__}'
    yield 'config', display_path(cfg.filename)
    arch = cfg.model.backbone.get('arch')
    exported = getattr(runner, 'exported', None)
    kind = name_of(cfg.model.backbone) if exported else type(model.backbone).__name__
    name = kind + (f' {arch}' if isinstance(arch, str) else '')
    yield 'model', f'{type(model).__name__} on {name}'
    if not exported:  # of which only the heads are here
        counts = {part: _count(child) for part, child in model.named_children()}
        parts = ', '.join(f'{part} {count}' for part, count in counts.items() if count != '0')
        yield 'size', f'{_count(model)} parameters: {parts}'
    yield 'weights', _weights(runner)
    if training:
        yield 'train', _data(runner.train_dataloader)
        yield 'val', _data(runner.val_dataloader) if runner.val_dataloader else 'none'
        yield 'schedule', _schedule(runner)
        yield 'optimizer', _optimizer(runner)
        if get_world_size() > 1:
            yield 'norms', _norms(model)
    else:
        yield 'test', _data(runner.test_dataloader)
    yield 'device', _device(runner)
    yield 'ops', mmcv_ops.describe().removeprefix('mmcv ops: ')
    yield 'log', display_path(runner.logger.log_file)


def _count(module: torch.nn.Module) -> str:
    count = sum(p.numel() for p in module.parameters())
    return f'{count / 1e6:.1f} M' if count else '0'


def _weights(runner: Runner) -> str:
    """Where the weights come from; a detector that starts from random ones should say so."""
    if file := getattr(runner, 'exported', None):
        runtime = f'{file.session.runtime} {file.session.version()}'
        return f'{display_path(file.session.file)}, {file.certificate.precision}, by {runtime}'
    if source := checkpoint_source(runner):
        return f'{"resumed from" if is_resuming(runner) else "checkpoint"} {display_path(source)}'
    named = [f'{part or "model"} from {file}' for part, file in named_files(unwrapped(runner))]
    text = first_few(named) if named else 'random initialization'
    calibrated = any(isinstance(hook, CalibrateHook) for hook in runner.hooks)
    return f'{text}; neck and heads calibrated by {IMAGES} images' if calibrated else text


def _data(loader: DataLoader) -> str:
    dataset: Any = loader.dataset
    classes = classes_of(dataset)
    roots = dict.fromkeys(getattr(leaf, 'data_root', '') for leaf in leaf_datasets(dataset))
    where = first_few(display_path(root) for root in roots if root)
    return f'{len(dataset)} images, {len(classes)} classes ({first_few(classes, 5)}), {where}'


def _schedule(runner: Runner) -> str:
    batch = runner.train_dataloader.batch_sampler
    batch = getattr(batch, 'batch_size', runner.cfg.train_dataloader.batch_size)
    processes, accumulated = get_world_size(), accumulated_batches(runner.optim_wrapper)
    parts = [f'{processes} processes of {batch}'] * (processes > 1)
    parts += [f'{accumulated} batches accumulated'] * (accumulated > 1)
    batches = f'batch size {batch * processes * accumulated}' + (f' ({", ".join(parts)})' if parts else '')
    loop, unit, end = runner.train_loop, 'iteration', runner.max_iters
    length = plural(end, unit)
    if isinstance(loop, EpochBasedTrainLoop):
        unit, end = 'epoch', runner.max_epochs
        length = f'{plural(end, unit)} of {plural(len(runner.train_dataloader), "iteration")}'
    every = f'validation every {plural(loop.val_interval, unit)}'
    if not runner.val_dataloader:
        every = 'no validation'
    elif loop.val_begin > end:
        every = f'no validation (val_begin={loop.val_begin} is after the end)'
    elif loop.val_begin > 1:
        every += f' from {unit} {loop.val_begin} on'
    limit = time_limit(runner)
    fitted = f'; fitted to {limit.minutes:g} minutes' if limit else ''
    return f'{length}, {batches}, {every}{fitted}'


def _optimizer(runner: Runner) -> str:
    name = type(next(iter(_optimizers(runner.optim_wrapper)))).__name__
    # 'initial_lr' is the rate before a schedule, where there is one
    rate = spread(group_values(runner.optim_wrapper, 'initial_lr', 'lr'), 'g')
    decay = spread(group_values(runner.optim_wrapper, 'weight_decay'), 'g')
    return f'{name}, learning rate {rate}, weight decay {decay}'


def group_values(optim_wrapper: Any, *keys: str) -> list[float]:
    """The optimizer's own values, one per parameter group: of the first of the keys that the group has."""
    groups = [group for optimizer in _optimizers(optim_wrapper) for group in optimizer.param_groups]
    return [next((group[key] for key in keys if key in group), 0.0) for group in groups]


def _optimizers(optim_wrapper: Any) -> list[Any]:
    """One, or of a config with several optimizers all of them."""
    return [wrapper.optimizer for wrapper in optim_wrappers(optim_wrapper).values()]


def _norms(model: torch.nn.Module) -> str:
    """Over which images the batch norms compute their statistics, where several processes have some each."""
    with in_mode(model, training=True):  # in which a backbone with `norm_eval` computes none
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    if not norms:
        return 'no batch statistics'
    if all(isinstance(module, SyncBatchNorm) for module in norms):
        return 'batch statistics of all processes together'
    return 'batch statistics of each process alone, their mean in validation and checkpoints'


def _device(runner: Runner) -> str:
    kind = get_device()
    name = f'cpu, {plural(torch.get_num_threads(), "thread")}'
    if waiting := threads.describe():
        name += f' ({waiting})'
    if kind == 'cuda':
        name = torch.cuda.get_device_name()
    amp = runner.cfg.get('amp')
    if not amp and isinstance(runner.optim_wrapper, AmpOptimWrapper):  # a config's own
        amp = str(runner.optim_wrapper.cast_dtype or torch.float16).removeprefix('torch.')
    precision = f'{amp} autocast' if amp else 'float32'
    return f'{name}, {precision}' + (', compiled' if is_compiled(unwrapped(runner)) else '')
