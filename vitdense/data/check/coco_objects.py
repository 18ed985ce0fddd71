"""The objects of a COCO file together: what the training gets of them, and those that are there twice."""

import json
import os
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset

from ...findings import Kind, Level, first_few
from ..lessons import NOTHING, fraction_advice, judge
from .annotations import is_whole, trains, well_formed_box
from .findings import Findings, short
from .photos import REPEATED
from .twins import find_twins

IMAGE_LEFT_OUT = Kind(
    'images that the training leaves out', 'by filter_cfg, without a word', level=Level.WARNING
)
TWINS = Kind('objects that are annotated twice', level=Level.WARNING)
LISTED_TWICE = Kind('images listed twice with different objects', 'those of the other are background in each')
CROWDED = Kind(
    'images with more than 100 objects of a class',
    "COCO's score counts 100 detections of them",
    level=Level.WARNING,
)

MOST = 100  # detections of a class and an image that COCO scores
ANY_SIZE = (1 << 31, 1 << 31)


class CocoObjects:
    """Collects the annotations of a dataset, and says what is wrong with them together.

    Args:
        dataset: which they are of.
        found: where to say what is wrong.
        file: as a message calls the annotation file.
    """

    def __init__(self, dataset: CocoDataset, found: Findings, file: str):
        self.dataset, self.found, self.file = dataset, found, file
        self.classes = [str(name) for name in dataset.metainfo['classes']]
        self.of_image: defaultdict[Any, list[tuple[Any, str | None, dict]]] = defaultdict(list)
        self.used: Counter[str] = Counter()  # annotations of each category
        self.count = 0

    def add(self, number: Any, image: Any, category: str | None, annotation: dict) -> None:
        """An annotation, the id of its image and the name of its category; None if they are not known."""
        self.count += 1
        if category is not None:
            self.used[category] += 1
        if image is not None:
            self.of_image[image].append((number, category, annotation))

    def report(self, images: dict[Any, dict], sizes: dict[Any, tuple[int, int]]) -> None:
        """Say what is wrong.

        Args:
            images: the entries by id.
            sizes: (H, W) of those that have one.
        """
        kept: Counter[str] = Counter()  # objects of each class that are trained on
        for image, annotations in self.of_image.items():
            where = f'{self.file}, image {short(image)} ({short(images[image].get("file_name"))})'
            by_class = defaultdict(list)
            for number, category, annotation in annotations:
                size = sizes.get(image, ANY_SIZE)
                if category in self.classes and not annotation.get('iscrowd') and trains(annotation, size):
                    by_class[category].append((number, annotation))
            for name, objects in by_class.items():
                kept[name] += len(objects)
                self._class(where, name, objects)
        used = self._filtered(images, sizes)
        self._listed_twice(images)
        if self.of_image:
            self._lesson(kept, used)

    def _class(self, where: str, name: str, objects: list[tuple[Any, dict]]) -> None:
        """The objects of one class in one image."""
        if self.dataset.test_mode and len(objects) > MOST:
            came = f'{len(objects)} objects of class {name!r}'
            self.found.add(CROWDED, where, came, f'{MOST} at most, as in tiles of it')
        objects = [(number, annotation) for number, annotation in objects if is_whole(annotation)]
        if len(objects) < 2:
            return
        boxes = np.array([annotation['bbox'] for _, annotation in objects], float)
        areas = np.array([annotation['area'] for _, annotation in objects], float)
        for one, other in find_twins(boxes, areas):
            (first, same), (second, annotation) = objects[other], objects[one]
            came = f'annotations {short(first)} and {short(second)} of class {name!r}, '
            came += f'bbox {short(same["bbox"])} and {short(annotation["bbox"])}'
            self.found.add(TWINS, where, came, 'one annotation of each object')

    def _filtered(self, images: dict[Any, dict], sizes: dict[Any, tuple[int, int]]) -> int:
        """How many images pass `filter_cfg`, as CocoDataset.filter_data has it."""
        config = self.dataset.filter_cfg
        if self.dataset.test_mode or not config:
            return len(images)
        empty, least, used = config.get('filter_empty_gt', False), config.get('min_size', 0), 0
        for image, entry in images.items():
            side = min(sizes.get(image, ANY_SIZE))
            if empty and not any(category in self.classes for _, category, _ in self.of_image.get(image, ())):
                came, expected = 'no annotation of a class', 'one, or filter_empty_gt=False'
            elif side < least:
                came, expected = f'its smaller side is {side} pixels', f'{least} or more, by min_size'
            else:
                used += 1
                continue
            where = f'{self.file}, image {short(image)} ({short(entry.get("file_name"))})'
            self.found.add(IMAGE_LEFT_OUT, where, came, expected)
        return used

    def _listed_twice(self, images: dict[Any, dict]) -> None:
        """Entries of one file: MMDetection takes them for images of their own."""
        first: dict[str, Any] = {}
        for image, entry in images.items():
            name = entry.get('file_name')
            if not isinstance(name, str):
                continue
            other = first.setdefault(os.path.normpath(name), image)
            if other == image:
                continue
            same = self._contents(image) == self._contents(other)
            where = f'{self.file}, image {short(image)} ({short(name)})'
            came = f'the file of image {short(other)}, with {"the same" if same else "other"} objects'
            self.found.add(REPEATED if same else LISTED_TWICE, where, came, 'one entry for each file')

    def _contents(self, image: Any) -> list[str]:
        annotations = self.of_image.get(image, ())
        return sorted(
            json.dumps([category, annotation.get('bbox')]) for _, category, annotation in annotations
        )

    def _lesson(self, kept: Counter[str], images: int) -> None:
        """Whether there is something to learn, and of what classes."""
        boxes = (
            box
            for annotations in self.of_image.values()
            for _, _, annotation in annotations
            if (box := well_formed_box(annotation))
        )
        advice = fraction_advice(boxes)
        times = [kept[name] for name in self.classes]
        if not images:
            self.found.add(NOTHING, self.file, 'no image passes filter_cfg', 'some')
        elif advice:
            came = f'{sum(times)} of {self.count} annotations are left'
            self.found.add(NOTHING, self.file, came, advice)
        elif verdict := judge(self.classes, times, pixels=False):
            kind, came = verdict
            few = first_few(f'{count} of {name!r}' for name, count in self.used.most_common())
            expected = (
                'annotations that MMDetection keeps' if kind is NOTHING else 'the classes of the config'
            )
            self.found.add(kind, self.file, f'{came}; annotations: {few or "none"}', expected)
