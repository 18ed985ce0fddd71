"""Which of a model's weights came from a file, whoever loaded it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.runner import Runner
from torch import Tensor, nn

from ..engine.unwrap import unwrapped
from .finding import Finding, Level


class Loaded:
    """Watches a model while weights are put into it.

    Every way to load a state dict comes through the modules' `_load_from_state_dict`, and so through the
    hooks that torch calls before it.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        names = {id(parameter): name for name, parameter in model.named_parameters()}

        def note(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *rest: Any) -> None:
            for name, parameter in module.named_parameters(recurse=False):
                theirs = state.get(prefix + name)
                if theirs is not None and theirs.shape == parameter.shape:
                    self.names.add(names[id(parameter)])

        handles = [module.register_load_state_dict_pre_hook(note) for module in model.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def shares(self, model: nn.Module) -> dict[str, float]:
        """Of each part, the backbone's by stages, the share of its numbers that were loaded."""
        whole, loaded = defaultdict(int), defaultdict(int)
        for name, parameter in model.named_parameters():
            part = _part(name)
            whole[part] += parameter.numel()
            loaded[part] += parameter.numel() * (name in self.names)
        return {part: loaded[part] / count for part, count in whole.items()}


def _part(name: str) -> str:
    """`backbone.stages.2.blocks.…` is in `backbone.stages.2`, `bbox_head.…` in `bbox_head`."""
    words = name.split('.')
    if words[0] != 'backbone':
        return words[0]
    return '.'.join(words[: 3 if words[1] in ('blocks', 'layers', 'stages') else 2])


def loaded(runner: Runner) -> Iterator[Finding]:
    """The shares, where any part of the model was to be loaded; a fault where nothing of it was."""
    model = unwrapped(runner)
    shares = runner.loaded.shares(model)
    sources = [
        (name, module.init_cfg['checkpoint'])
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'init_cfg', None), dict) and module.init_cfg.get('checkpoint')
    ]
    for name, source in sources:
        if not any(parameter.startswith(f'{name}.') for parameter in runner.loaded.names):
            text = f'model.{name}.init_cfg names {source}, and no weight in it fits by name and shape'
            yield Finding('loaded', text, Level.FAULT)
    if any(shares.values()):
        text = ', '.join(f'{part} {share:.0%}' for part, share in _merged(shares).items())
        yield Finding('loaded', text)


def _merged(shares: Mapping[str, float]) -> dict[str, float]:
    """A line short enough to read: a whole backbone or a whole model in one."""
    for prefix, name in (('', 'all weights'), ('backbone', 'backbone')):
        own = {part: share for part, share in shares.items() if part.startswith(prefix)}
        if len(own) > 1 and all(share == 1 for share in own.values()):
            rest = {part: share for part, share in shares.items() if part not in own}
            return {name: 1.0} | rest
    return dict(shares)
