"""What the data of a run are like: how often each class occurs, how large objects and images are."""

from collections import Counter
from typing import Any

import numpy as np

from ..data.dataset import classes_of, leaf_datasets, spread_over
from ..preflight.label_maps import loaded_maps, pixels_of

MOST = 5000  # annotations that are looked through
MAPS = 200  # label maps that are, as each is a file
SIZES = 300  # different sizes of images that are kept


def data_facts(dataset: Any, maps: bool) -> dict[str, Any]:
    """Of a dataset, or of so many images that are spread over it.

    Args:
        dataset: of objects or of label maps.
        maps: which of these.

    Returns:
        images: in all; looked: of which so many were looked through.
        kind: 'objects', or 'pixels' of label maps.
        classes: of each class by its name, how many objects or the share of the labelled pixels.
        boxes: the square roots of the objects' areas, in pixels of their images' longer sides, per thousand.
        sizes: [width, height, how many] of the images.
    """
    names = classes_of(dataset)
    counts, sizes, boxes = _of_label_maps(dataset, len(names)) if maps else _of_objects(dataset, len(names))
    total = max(sum(counts), 1)
    return dict(
        images=len(dataset),
        looked=sizes.total(),
        kind='pixels' if maps else 'objects',
        classes={name: count / total if maps else count for name, count in zip(names, counts, strict=True)},
        boxes=_histogram(boxes),
        sizes=[[width, height, count] for (width, height), count in sizes.most_common(SIZES) if width],
    )


def _of_objects(dataset: Any, classes: int) -> tuple[list[int], Counter[tuple[int, int]], list[int]]:
    """Objects of each class, images of each size, and the sizes of objects."""
    counts, sizes, boxes = [0] * classes, Counter[tuple[int, int]](), list[int]()
    for index in spread_over(dataset, MOST):
        info = dataset.get_data_info(index)
        width, height = info.get('width', 0), info.get('height', 0)
        sizes[width, height] += 1
        for instance in info.get('instances', ()):
            if instance.get('ignore_flag'):
                continue
            counts[instance['bbox_label']] += 1
            left, top, right, bottom = instance['bbox']
            area = max(right - left, 0) * max(bottom - top, 0)
            if width and height:
                boxes.append(round(1000 * area**0.5 / max(width, height)))
    return counts, sizes, boxes


def _of_label_maps(dataset: Any, classes: int) -> tuple[list[int], Counter[tuple[int, int]], list[int]]:
    """Pixels of each class and label maps of each size."""
    counts, sizes = np.zeros(classes, dtype=np.int64), Counter[tuple[int, int]]()
    leaves = leaf_datasets(dataset)
    for leaf in leaves:
        for labels in loaded_maps(leaf, max(1, MAPS // len(leaves))):
            counts += pixels_of(labels, classes)
            height, width = labels.shape[:2]
            sizes[width, height] += 1
    return counts.tolist(), sizes, []


def _histogram(values: list[int]) -> list[list[int]]:
    """[from, to, how many], in steps of a fortieth of what there is."""
    if not values:
        return []
    counts, edges = np.histogram(values, bins=min(40, len(set(values))))
    return [
        [round(low), round(high), count]
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]
