"""What a preflight check leaves as it was: the mode of a model, and what it and the transforms remember."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from torch import nn

MEMORY = (bool, int, float, list, tuple, dict, set, deque, type(None))
OF_TORCH = vars(nn.Module()).keys()


@contextmanager
def untouched(model: nn.Module, *datasets: Any) -> Iterator[None]:
    """Counters, lists and caches are afterwards what they were: a run begins as if nobody had looked.

    Dynamic R-CNN counts the overlaps of its training, MMDetection's CachedMosaic keeps images. Tensors are
    left to who changes them.
    """
    remembering = [*model.modules(), *(one for dataset in datasets for one in _transforms(dataset))]
    before = [
        {key: copy(value) for key, value in vars(one).items() if _is_memory(key, value)}
        for one in remembering
    ]
    try:
        yield
    finally:
        for one, memory in zip(remembering, before, strict=True):
            vars(one).update(memory)


def _is_memory(key: str, value: Any) -> bool:
    return key not in OF_TORCH and isinstance(value, MEMORY)


def _transforms(dataset: Any) -> Iterator[Any]:
    """Of a dataset and of those inside it."""
    own = vars(dataset)
    yield from _nested(own.get('pipeline'))
    for inner in (own.get('dataset'), own.get('_dataset'), *(own.get('datasets') or ())):
        if hasattr(inner, '__dict__'):
            yield from _transforms(inner)


def _nested(node: Any) -> Iterator[Any]:
    """A transform, and those inside it."""
    if isinstance(node, (list, tuple)):
        for one in node:
            yield from _nested(one)
    elif isinstance(node, dict):
        yield from _nested(list(node.values()))
    elif isinstance(node, (BaseTransform, Compose)):
        yield node
        yield from _nested(vars(node))
