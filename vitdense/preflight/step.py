"""One training step that changes nothing: which parameters learn, and how much memory it takes."""

import os
import re
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch import Tensor, nn

from ..data.reproducible import SampleId, seeded
from ..engine.processes import unwrapped
from ..errors import UserError
from ..findings import Finding, Level, first_few
from ..memory import peak_memory
from ..mmengine_internals import optim_context
from ..model_state import unlearned
from ..trial import trial

IMAGES = 2  # enough for a batch norm, and few enough for any machine
TRIES = 8  # at batches, before it is said that nothing is learned
MEMORY_SHARE = 0.9  # of the device's, above which is a warning


def step(runner: Runner) -> Iterator[Finding]:
    """Forward and backward on the first images; the model is afterwards as it was."""
    model, loader = unwrapped(runner), runner.train_dataloader
    batch = loader.batch_sampler.batch_size
    count = min(IMAGES, _smallest(loader.batch_sampler))
    device = next(model.parameters()).device
    with unlearned(model), seeded(runner.seed):
        try:
            for data in _batches(loader, count):
                activations = _gradients(runner, model, data, device)
                # now: those of a sharded model are others after the backward pass
                learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
                if learns := any(p.grad.any() for _, p in learning if p.grad is not None):
                    break
        except UserError as error:
            if 'more than 1 value per channel' not in str(error):
                raise
            yield Finding('step', _one_value(model, error, batch), Level.ERROR)
            return
        idle = [name for name, p in learning if p.grad is None]
    if learning and not learns:
        text = 'every gradient is zero, so that nothing would be learned: is the loss that of these classes?'
        yield Finding('step', text, Level.ERROR)
        return
    if idle:
        waits = get_world_size() > 1 and not runner.cfg.get('find_unused_parameters')
        text = f'{len(idle)} parameters get no gradient: {first_few(idle)}'
        hint = '; several processes would wait for them: find_unused_parameters=True' if waits else ''
        yield Finding('step', text + hint, Level.ERROR if waits else Level.WARNING)
    yield _memory(model, activations * batch / count, batch, device)


def _batches(loader: Any, count: int) -> Iterator[Any]:
    """The first images, and then others, spread over the data: all of some images may be ignored."""
    images = len(loader.dataset)
    for first in range(0, images, -(-images // TRIES)):
        yield loader.collate_fn([loader.dataset[SampleId((first + i) % images, 0, i)] for i in range(count)])


def _smallest(batches: Any) -> int:
    """Images in the smallest batch of a process: the last of an epoch, where it is not left out."""
    whole = batches.batch_size
    endless = isinstance(batches.sampler, InfiniteSampler)
    return whole if endless or batches.drop_last else len(batches.sampler) % whole or whole


def _gradients(runner: Runner, model: Any, data: Any, device: torch.device) -> float:
    """Forward and backward; the bytes of the activations."""
    losses: list[Tensor] = []
    with trial('the run cannot start: the first step fails'):
        # what the backward pass needs is all there when it begins
        activations = peak_memory(lambda: losses.append(_loss(runner, model, data)), device)
        losses.pop().backward()
    return activations


def _loss(runner: Runner, model: Any, data: Any) -> Tensor:
    with optim_context(runner.optim_wrapper, model):
        ready = model.data_preprocessor(data, True)
        losses = model(**ready, mode='loss') if isinstance(ready, dict) else model(*ready, mode='loss')
        return model.parse_losses(losses)[0]


def _one_value(model: nn.Module, error: UserError, batch: int) -> str:
    size = re.search(r'\[.*\]', str(error))
    what = f'a batch norm would see one value per channel ({size[0] if size else error})'
    kind = type(model.decode_head).__name__ if hasattr(model, 'decode_head') else type(model).__name__
    if batch > 1:
        return f'{what} in the last batch of an epoch, of one image; train_dataloader.drop_last=True drops it'
    return f'{what}: {kind} needs train_dataloader.batch_size=2 or more in each process, it is {batch}'


def _memory(model: nn.Module, activations: float, batch: int, device: torch.device) -> Finding:
    """What a step takes at most: weights, gradients, optimizer state of two numbers a weight, activations."""
    weights: list[Tensor] = list(model.parameters())
    held = sum(w.nbytes * (4 if w.requires_grad else 1) for w in weights)
    total = _available(device)
    text = f'about {_gib(held + activations)} for batch size {batch}, this device has {_gib(total)}'
    too_much = held + activations > MEMORY_SHARE * total
    return Finding('memory', text, Level.WARNING if too_much else Level.FACT)


def _available(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def _gib(count: float) -> str:
    return f'{count / 2**30:.1f} GiB'
