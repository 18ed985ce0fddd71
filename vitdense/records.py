"""What MMEngine's checkpoints hold beside tensors and plain values, for `torch.load(weights_only=True)`."""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .compat import has_torch


def _statistic(owner: type, name: str) -> Callable:
    """What `getattr` may do in a checkpoint: name the statistics methods of a loss history."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UnpicklingError(f'Unsupported global: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


_array, _scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]

# Loss histories, of NumPy arrays and methods.
SAFE_GLOBALS: list[Any] = [
    HistoryBuffer,
    (_statistic, 'builtins.getattr'),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32', 'bool')),
    *(
        (function, f'{numpy}.multiarray.{name}')
        for numpy in ('numpy.core', 'numpy._core')  # NumPy 1 and 2
        for name, function in (('_reconstruct', _array), ('scalar', _scalar))
    ),
]


def allow() -> None:
    """Let every `torch.load` read them, as MMEngine's own, which fails without since torch 2.6."""
    if has_torch('2.7'):  # which takes names; before 2.6, `torch.load` reads everything
        torch.serialization.add_safe_globals(SAFE_GLOBALS)
