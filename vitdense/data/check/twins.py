"""Objects that are annotated twice: two boxes of one class that nearly coincide."""

from collections.abc import Iterator

import numpy as np

IOU = 0.9
# A box of few pixels that was drawn twice has a smaller IoU: its sides are near instead.
NEAR, NEAR_IOU = 2, 0.7  # pixels
AREA = 0.8  # one area of the other: of two objects that have one box, such as a cup and its reflection, less


def find_twins(boxes: np.ndarray, areas: np.ndarray) -> Iterator[tuple[int, int]]:
    """Each object that was annotated before: (its index, the index of the other).

    Args:
        boxes: (N, 4), [x, y, width, height] of the objects of one class in one image.
        areas: (N,), their annotated areas.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    order = np.argsort(low[:, 0], kind='stable')
    lefts, known = low[order, 0], np.zeros(len(boxes), bool)
    for place, one in enumerate(order.tolist()):
        if known[one]:
            continue
        # so far the left sides of two such boxes may differ, in either of the two ways to be twins
        reach = max(NEAR, (1 - IOU) / IOU * boxes[one, 2])
        others = order[place + 1 : np.searchsorted(lefts, lefts[place] + reach, 'right')]
        sides = np.maximum(abs(low[others] - low[one]), abs(high[others] - high[one])).max(1)
        common = np.minimum(high[others], high[one]) - np.maximum(low[others], low[one])
        common = common.clip(0).prod(1)
        iou = common / (boxes[others, 2:].prod(1) + boxes[one, 2:].prod() - common)
        twins = (iou >= IOU) | (sides <= NEAR) & (iou >= NEAR_IOU)
        twins &= np.minimum(areas[others], areas[one]) >= AREA * np.maximum(areas[others], areas[one])
        for other in others[twins & ~known[others]].tolist():
            known[other] = True
            yield max(one, other), min(one, other)
