"""Is there something to learn? What the classes' numbers of objects or pixels say about that.

Of all files in `check_data`, of the first samples, as the pipeline gives them, in the preflight.
"""

from collections.abc import Iterable, Sequence

from ..findings import Kind, Level, first_few

NOTHING = Kind('nothing to learn from')
ONE_CLASS = Kind('one class alone', 'to answer it everywhere is always right')
OTHER_DATA = Kind(
    'most classes without an example', 'the data are of another kind than the config', level=Level.WARNING
)


def judge(classes: Sequence[str], times: Sequence[int], pixels: bool) -> tuple[Kind, str] | None:
    """What is wrong with how often the classes occur, and what came; None if nothing is.

    Args:
        classes: their names.
        times: objects or pixels of each.
        pixels: whether they are pixels. A detector also learns what is background, a segmentor does not: one
            class alone teaches it nothing.
    """
    what = 'pixel' if pixels else 'object'
    present = [name for name, count in zip(classes, times, strict=True) if count]
    if not present:
        return NOTHING, f'no {what} of any class'
    if pixels and len(classes) > 1 and len(present) == 1:
        return ONE_CLASS, f'every {what} is of class {present[0]!r}'
    if 2 * len(present) < len(classes):
        # a small part of a large dataset is meant so: no error
        return OTHER_DATA, f'{len(present)} of {len(classes)} classes occur: {first_few(present)}'
    return None


def mask_advice(values: Iterable[int], ignore_index: int, first: int = 0) -> str:
    """What to do about label maps that hold a mask of 0 and 255, as image editors write it; '' if they don't.

    Args:
        values: that occur in the files.
        ignore_index: the value that the training ignores.
        first: the value of the first class, 1 with `reduce_zero_label`.
    """
    if set(values) != {0, 255} or ignore_index != 255:
        return ''
    return f'values {first} and {first + 1}: the files hold 0 and 255, and 255 is the ignored label'


def fraction_advice(boxes: Iterable[Sequence[float]]) -> str:
    """What to do about boxes [x, y, width, height] that are fractions of their image; '' if they aren't."""
    largest = 0.0
    for box in boxes:
        largest = max(largest, *box)
        if largest > 1:
            return ''
    if not largest:
        return ''
    return 'boxes in pixels: no number is above 1, as in the fractions that YOLO has'
