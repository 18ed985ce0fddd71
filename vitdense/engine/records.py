"""What a checkpoint of a run may hold beside tensors and plain values."""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer


def _statistic(owner: type, name: str) -> Callable:
    """What `getattr` may do in a checkpoint: name the statistics methods of a loss history."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UnpicklingError(f'Unsupported global: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


_array, _scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]

# MMEngine's own records in a checkpoint, beside tensors: loss histories, which are NumPy arrays and methods.
RECORDS: list[Any] = [
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
