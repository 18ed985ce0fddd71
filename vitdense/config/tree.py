"""The parts of a config, wherever in it they are."""

from collections.abc import Iterator
from typing import Any


def dicts(node: Any) -> Iterator[dict]:
    """Every dict in a tree of dicts and lists."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from dicts(child)


def name_of(part: dict) -> str:
    """Of the class that a part of a config builds, which it gives as text or as it is."""
    kind = part.get('type', '')
    return (kind if isinstance(kind, str) else kind.__name__).split('.')[-1]


def in_pixels(size: Any) -> bool:
    """Not a part of the image, as a relative crop's and the scale of a random crop of its area are."""
    if isinstance(size, (list, tuple)):
        return bool(size) and all(map(in_pixels, size))
    return isinstance(size, (int, float)) and size > 1


def set_annotations(evaluator: Any, file: str) -> None:
    """Set the annotation file of those metrics that read one, in place."""
    for metric in dicts(evaluator):
        if 'ann_file' in metric:
            metric['ann_file'] = file


def innermost(loader: dict) -> tuple[dict, dict]:
    """The dataset inside a loader's wrappers, and the dict that has it as `dataset`.

    Of several datasets, the first takes the place of all, in place.
    """
    holder, dataset = loader, loader['dataset']
    while True:
        if isinstance(dataset.get('datasets'), (list, tuple)):
            holder['dataset'] = dataset = dataset['datasets'][0]
        elif isinstance(dataset.get('dataset'), dict):
            holder, dataset = dataset, dataset['dataset']
        else:
            return holder, dataset
