"""Weights from files: whole or not at all, without executing anything, and recorded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..checkpoint import SAFE_GLOBALS, local, read
from ..errors import UserError


@CheckpointLoader.register_scheme(prefixes=('', 'http://', 'https://'), force=True)
def load_safely(filename: str, map_location: Any = None) -> Any:
    """How MMEngine's own `Pretrained` loads a file, which would otherwise unpickle what was refused."""
    return read(local(filename), allow=SAFE_GLOBALS)


def read_checkpoint(filename: str) -> dict:
    """The contents of a checkpoint file.

    Raises:
        UserError: no such file, a file that is damaged or would execute code, or no checkpoint.
    """
    try:
        checkpoint = read(filename, allow=SAFE_GLOBALS)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict', checkpoint), dict):
        raise UserError(f'{filename}: not a checkpoint: it holds a {type(checkpoint).__name__}')
    return checkpoint


def check_state(model: nn.Module, state: Mapping[str, Any], filename: str) -> None:
    """Compare a state dict with a model.

    Raises:
        UserError: it has not exactly the model's keys and shapes; names what differs.
    """
    ours = model.state_dict()
    missing, left_over = ours.keys() - state.keys(), state.keys() - ours.keys()
    misshapen = [k for k in ours.keys() & state.keys() if ours[k].shape != getattr(state[k], 'shape', None)]
    problems = [
        f'{len(keys)} {label} (such as {min(keys)})'
        for label, keys in (
            ('of the model are missing', missing),
            ('are unknown', left_over),
            ('differ in shape', misshapen),
        )
        if keys
    ]
    if problems:
        raise UserError(
            f'{filename}: the checkpoint of another model: of its weights, {", ".join(problems)}. '
            f'Are the config, --arch and --sample those that it was trained with?'
        )


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
