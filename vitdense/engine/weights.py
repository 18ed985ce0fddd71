"""Weights that MMEngine loads: safely, and recorded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..checkpoint import SAFE_GLOBALS, local, read


@CheckpointLoader.register_scheme(prefixes=('', 'http://', 'https://'), force=True)
def load_safely(filename: str, map_location: Any = None) -> Any:
    """How MMEngine's own `Pretrained` loads a file, which would otherwise unpickle what was refused."""
    return read(local(filename), allow=SAFE_GLOBALS)


class WeightRecord:
    """Which of a model's parameters have been loaded from a file, by whatever loaded them.

    Every way to load a state dict goes through the modules' `_load_from_state_dict`, and so through the hooks
    that torch calls before it.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    @contextmanager
    def recording(self, model: nn.Module) -> Iterator[None]:
        """While weights may be loaded into a model."""
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
        """The share of each part's parameters that were loaded; the backbone's parts are its stages."""
        count, loaded = defaultdict[str, int](int), defaultdict[str, int](int)
        for name, parameter in model.named_parameters():
            part = _part(name)
            count[part] += parameter.numel()
            loaded[part] += parameter.numel() * (name in self.names)
        return {part: loaded[part] / number for part, number in count.items()}


def _part(name: str) -> str:
    """`backbone.stages.2.blocks.…` is in `backbone.stages.2`, `bbox_head.…` in `bbox_head`."""
    words = name.split('.')
    if words[0] != 'backbone':
        return words[0]
    return '.'.join(words[: 3 if words[1] in ('blocks', 'layers', 'stages') else 2])
