"""One training step that leaves no trace: which parameters learn, and how much memory it takes."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch import Tensor, nn

from ..benchmark.memory import peak_memory
from ..data.reproducible import Place, seeded
from ..engine.unwrap import unwrapped
from .finding import Finding, Level, named

IMAGES = 2  # enough for a batch norm, and few enough for any machine
MOST = 0.9  # of a machine's memory


def step(runner: Runner) -> Iterator[Finding]:
    """Forward and backward on the first images, in the model as it is and back to as it was."""
    model, loader = unwrapped(runner), runner.train_dataloader
    batch = loader.batch_sampler.batch_size
    count = min(IMAGES, _smallest(loader.batch_sampler))
    places = (Place(i % len(loader.dataset), 0, i) for i in range(count))
    data = loader.collate_fn([loader.dataset[place] for place in places])
    device = next(model.parameters()).device
    with _untouched(model), seeded(runner.seed):
        losses: list[Tensor] = []
        try:
            # what the backward pass needs is all there when it begins
            activations = peak_memory(lambda: losses.append(_loss(runner, model, data)), device)
            losses.pop().backward()
        except ValueError as error:
            if 'more than 1 value per channel' not in str(error):
                raise
            yield Finding('step', _one_value(model, error, batch), Level.FAULT)
            return
        learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        idle = [name for name, p in learning if p.grad is None]
    if idle:
        waits = get_world_size() > 1 and not runner.cfg.get('find_unused_parameters')
        text = f'{len(idle)} parameters get no gradient: {named(idle)}'
        hint = '; several processes would wait for them: find_unused_parameters=True' if waits else ''
        yield Finding('step', text + hint, Level.FAULT if waits else Level.DOUBT)
    yield _memory(model, activations * batch / count, batch, device)


def _smallest(batches: Any) -> int:
    """Images in the smallest batch of a process: the last of an epoch, where it is not left out."""
    whole = batches.batch_size
    endless = isinstance(batches.sampler, InfiniteSampler)
    drops = getattr(batches.batches, 'drop_last', False)
    return whole if endless or drops else len(batches.sampler) % whole or whole


def _loss(runner: Runner, model: nn.Module, data: Any) -> Tensor:
    with runner.optim_wrapper.optim_context(model):
        ready = model.data_preprocessor(data, True)
        losses = model(**ready, mode='loss') if isinstance(ready, dict) else model(*ready, mode='loss')
        return model.parse_losses(losses)[0]


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Buffers, gradients and the mode of a model are afterwards what they were."""
    training = model.training
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    try:
        yield
    finally:
        model.train(training)
        for parameter in model.parameters():
            parameter.grad = None
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in buffers:
                    buffer.copy_(buffers[name])


def _one_value(model: nn.Module, error: ValueError, batch: int) -> str:
    size = re.search(r'\[.*\]', str(error))
    what = f'a batch norm would see one value a channel ({size[0] if size else error})'
    kind = type(model.decode_head).__name__ if hasattr(model, 'decode_head') else type(model).__name__
    if batch > 1:
        return f'{what} in the last batch of an epoch, of one image; train_dataloader.drop_last=True drops it'
    return f'{what}: {kind} needs train_dataloader.batch_size=2 or more in each process, it is {batch}'


def _memory(model: nn.Module, activations: float, batch: int, device: torch.device) -> Finding:
    """What a step takes at the most: weights, gradients, two moments of the optimizer, activations."""
    weights: list[Tensor] = list(model.parameters())
    held = sum(w.nbytes * (4 if w.requires_grad else 1) for w in weights)
    total = _available(device)
    text = f'about {_gib(held + activations)} for a batch of {batch}, this device has {_gib(total)}'
    too_much = held + activations > MOST * total
    return Finding('memory', text, Level.DOUBT if too_much else Level.FACT)


def _available(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def _gib(count: float) -> str:
    return f'{count / 2**30:.1f} GiB'
