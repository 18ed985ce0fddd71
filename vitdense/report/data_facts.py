"""What the data of a run are like: how often each class occurs, how large objects and images are."""

from collections import Counter
from typing import Any

import numpy as np
from PIL import Image

from ..data.dataset import classes_of, spread_over

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
    chosen = spread_over(dataset, MAPS if maps else MOST)
    counts, sizes, boxes = Counter[int](), Counter[tuple[int, int]](), list[int]()
    for index in chosen:
        info = dataset.get_data_info(index)
        if maps:
            try:
                with Image.open(info['img_path']) as image:
                    width, height = image.size
                counts += _pixels(info)
            except OSError:  # of another place, as behind a file client
                continue
        else:
            width, height = info.get('width', 0), info.get('height', 0)
            for instance in info.get('instances', ()):
                if instance.get('ignore_flag'):
                    continue
                counts[instance['bbox_label']] += 1
                left, top, right, bottom = instance['bbox']
                area = max(right - left, 0) * max(bottom - top, 0)
                if width and height:
                    boxes.append(round(1000 * area**0.5 / max(width, height)))
        sizes[width, height] += 1
    total = sum(counts[label] for label in range(len(names)))
    return dict(
        images=len(dataset),
        looked=len(chosen),
        kind='pixels' if maps else 'objects',
        classes={
            name: counts[label] / max(total, 1) if maps else counts[label] for label, name in enumerate(names)
        },
        boxes=_histogram(boxes),
        sizes=[[width, height, count] for (width, height), count in sizes.most_common(SIZES) if width],
    )


def _pixels(info: dict) -> Counter[int]:
    """Of each class, as MMSegmentation's LoadAnnotations counts them."""
    if not info.get('seg_map_path'):  # of a test without labels
        return Counter()
    with Image.open(info['seg_map_path']) as image:
        labels = np.asarray(image)
    if labels.ndim > 2:
        return Counter()
    counts = np.bincount(labels.ravel())
    found = {value: int(count) for value, count in enumerate(counts.tolist()) if count}
    if info.get('reduce_zero_label'):
        found = {value - 1: count for value, count in found.items() if value}
    mapping = info.get('label_map') or {}
    renamed = Counter[int]()
    for value, count in found.items():
        renamed[mapping.get(value, value)] += count
    return renamed


def _histogram(values: list[int]) -> list[list[int]]:
    """[from, to, how many], in steps of a fortieth of what there is."""
    if not values:
        return []
    counts, edges = np.histogram(values, bins=min(40, len(set(values))))
    return [
        [round(low), round(high), count]
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]
