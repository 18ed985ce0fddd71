"""Which tensors of a model have rows for classes, and how they are laid out.

The last layer of a head has one for each class, one for each class and anchor, or four for each class. They
are found by building the model once more, for one class more, without memory: a tensor that grows has such
rows, and its growth says how many.
"""

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

FEATURES = ('backbone.', 'neck.', 'data_preprocessor.')  # parts that know of no classes


class ClassRows(NamedTuple):
    """How an axis of a tensor is laid out over classes.

    each: rows of one class, one for each anchor or box coordinate.
    others: entries beside the classes: background, which comes last, or YOLO's five of box and objectness,
    which come first.
    outer: the rows of a class lie together, as in class-wise box regression; else those of an anchor do.
    axis: which axis; the first, but for embeddings of classes such as Segmenter's.
    """

    each: int
    others: int
    outer: bool
    axis: int = 0

    def fits(self, own: Tensor, theirs: Tensor, classes: int) -> bool:
        """Whether a tensor is laid out as the model's own, for so many classes."""
        shape = list(own.shape)
        shape[self.axis] = self.each * (classes + self.others)
        return list(theirs.shape) == shape

    def of(self, entry: int, classes: int) -> list[int]:
        """The rows of an entry, where there are so many classes."""
        if self.outer:
            return [entry * self.each + i for i in range(self.each)]
        return [i * (classes + self.others) + entry for i in range(self.each)]

    def entries(self, names: Sequence[str]) -> dict[Any, int]:
        """The entry of each class by its name, and of what is beside the classes by its number."""
        first = self.others if self.others > 1 else 0
        beside = range(first) if first else range(len(names), len(names) + self.others)
        return {name: first + i for i, name in enumerate(names)} | dict(enumerate(beside))


Rows = Mapping[str, ClassRows | None]  # None: something in the tensor is for classes, and not known what


def class_rows(build: Callable[[Any], nn.Module], config: Any, classes: int) -> Rows:
    """The tensors of a model with rows for classes, by name.

    Where the config says nowhere how many classes there are, any tensor but those of the backbone and the
    neck may have them.

    Args:
        build: makes a model from a config.
        config: the model's.
        classes: how many the model has.
    """
    more = copy.deepcopy(config)
    state = random.getstate()
    with torch.random.fork_rng():
        ours = _built(build, config).state_dict()
        grown = _built(build, more).state_dict() if _add_class(more, classes) else None
    random.setstate(state)
    if grown is None:
        return {name: None for name in ours if not name.startswith(FEATURES)}
    return {
        name: _layout(name, ours[name].shape, grown[name].shape, classes)
        for name in ours.keys() & grown.keys()
        if ours[name].shape != grown[name].shape
    }


def _add_class(config: Any, classes: int) -> bool:
    """One class more wherever a config has their number, for MaskFormer in two parts; whether it has it.

    With as many outputs, where a segmentation head names their number. The one output of a binary head grows
    by two, and so has no rows of one class.
    """
    found = False
    for part in _dicts(config):
        things, stuff = part.get('num_things_classes'), part.get('num_stuff_classes', 0)
        for key, number in (('num_classes', part.get('num_classes')), ('num_things_classes', things)):
            if number is not None and number + (stuff if key == 'num_things_classes' else 0) == classes:
                part[key] = number + 1
                found = True
                if key == 'num_classes' and part.get('out_channels') in (1, classes):
                    part['out_channels'] = number + 1
    return found


def _layout(name: str, shape: torch.Size, grown: torch.Size, classes: int) -> ClassRows | None:
    axes = [axis for axis, (one, two) in enumerate(zip(shape, grown, strict=True)) if one != two]
    (axis, *more) = axes
    each = grown[axis] - shape[axis]
    others = shape[axis] // each - classes if each > 0 and shape[axis] % each == 0 else -1
    # of inputs, as PointRend's, it is not known where the classes are
    if more or others < 0 or (axis and others):
        return None
    return ClassRows(each, others, 'reg' in name, axis)


def _built(build: Callable[[Any], nn.Module], config: Any) -> nn.Module:
    """Without memory, if its constructor reads no numbers out of tensors, as MMSegmentation's ViT does."""
    try:
        with torch.device('meta'):
            return build(copy.deepcopy(config))
    except (NotImplementedError, RuntimeError):
        return build(copy.deepcopy(config))


def _dicts(node: Any, name: str = '') -> Iterator[dict]:
    """Every dict of a model's config, but of a region proposal network, whose class is 'object'."""
    if isinstance(node, dict) and name != 'rpn_head':
        yield node
        for key, child in node.items():
            yield from _dicts(child, key)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _dicts(child)
