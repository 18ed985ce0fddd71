"""COCO's layout: one JSON file with images, annotations and categories, and a folder of images."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from rich.progress import Progress

from ...findings import Kind, Level
from ..categories import compare_categories
from .annotations import problems
from .coco_objects import CocoObjects
from .findings import (
    EMPTY,
    LEAVES,
    MISSING_FOLDER,
    NEVER,
    Findings,
    Photo,
    called,
    inside,
    leaves,
    short,
)
from .images import Damaged, normal_form, picture, read_all

NO_FILE = Kind('missing annotation files')
NOT_JSON = Kind('annotation files that are not JSON')
BOM = Kind('annotation files with a byte-order mark', 'pycocotools cannot read them')
NO_LIST = Kind('lists that an annotation file lacks')
MALFORMED = Kind('malformed entries')
TWICE = Kind('ids and names that occur twice')
MIXED = Kind('ids that are numbers and texts', 'pycocotools, which scores, cannot sort them')
ID_TEXT = Kind('annotation ids that are no numbers', 'pycocotools, which scores, counts with them')
ID_ZERO = Kind(
    'annotations with id 0',
    "pycocotools takes it for 'no match' and scores too low; vitdense counts anew from 1",
    level=Level.WARNING,
)
NO_CATEGORY = Kind(
    'classes without category',
    'MMDetection numbers labels by the categories that there are: later ones move up',
)
ORDER = Kind('categories in another order than the classes', "MMDetection numbers labels in the file's order")
NO_CLASS = Kind(
    'categories that are none of the classes', 'their annotations are left out', level=Level.WARNING
)
UNKNOWN_CATEGORY = Kind('annotations of unknown categories')
UNKNOWN_IMAGE = Kind('annotations of unknown images')
SIZE = Kind('images of another size than annotated')

LISTS = ('images', 'annotations', 'categories')
LARGEST = 1 << 31  # no side of an image has so many pixels


class CocoCheck:
    """Checks one dataset.

    Args:
        dataset: built with `lazy_init=True`, so that it has read nothing.
        found: where to say what is wrong.
        masks: whether the config reads outlines.
    """

    def __init__(self, dataset: CocoDataset, found: Findings, progress: Progress, masks: bool):
        self.dataset, self.found, self.progress, self.masks = dataset, found, progress, masks
        self.folder = Path(dataset.data_prefix['img'])
        self.file = inside(dataset.ann_file, dataset.data_root)

    def run(self) -> None:
        whole = self._load()
        if not self.folder.is_dir():
            where = f'{inside(self.folder, self.dataset.data_root)}/'
            self.found.add(MISSING_FOLDER, where, 'no such folder', f'the images that {self.file} names')
        if whole is None:
            return
        entries, annotations, categories = (self._entries(whole, name) for name in LISTS)
        images = self._images(entries)
        self._annotations(annotations, self._categories(categories), images)
        if self.folder.is_dir():
            self._files(images)

    def _load(self) -> dict | None:
        file = Path(self.dataset.ann_file)
        if not file.is_file():
            self.found.add(NO_FILE, self.file, 'no such file', "COCO's annotations")
            return None
        task = self.progress.add_task(f'{self.found.split} annotation file', total=None)
        try:
            text = file.read_text(encoding='utf-8')
            if text.startswith('\ufeff'):
                self.found.add(BOM, self.file, 'starts with the mark', 'UTF-8 without: save it again')
            whole = json.loads(text.removeprefix('\ufeff'))
        except (OSError, ValueError, RecursionError) as error:
            came = f'{type(error).__name__}: {error}'
            self.found.add(NOT_JSON, self.file, came, "COCO's annotations as JSON")
            return None
        finally:
            self.progress.remove_task(task)
        if not isinstance(whole, dict):
            self.found.add(NO_LIST, self.file, short(whole), f'an object with {", ".join(LISTS)}')
            return None
        return whole

    def _entries(self, whole: dict, name: str) -> list[tuple[str, dict]]:
        """The objects of one of the file's lists, each with its place."""
        entries = whole.get(name)
        if not isinstance(entries, list):
            self.found.add(NO_LIST, self.file, called(whole, name), f'a list `{name}`')
            return []
        if not entries:
            self.found.add(EMPTY, self.file, f'no {name}', 'at least one')
        places = []
        for number, entry in enumerate(entries):
            if isinstance(entry, dict):
                places.append((f'{self.file}, {name}[{number}]', entry))
            else:
                self.found.add(MALFORMED, f'{self.file}, {name}[{number}]', short(entry), 'an object')
        return places

    def _ids(self, name: str, entries: Iterable[tuple[str, dict]]) -> Iterator[tuple[str, Any, dict]]:
        """The entries of a list with a usable id, and the id."""
        seen, kinds = set(), set()
        for where, entry in entries:
            number = entry.get('id')
            if not _usable(number):
                self.found.add(MALFORMED, where, called(entry, 'id'), 'a number or a text')
                continue
            if number in seen:
                self.found.add(TWICE, where, called(entry, 'id'), 'an id of its own')
            seen.add(number)
            kinds.add(isinstance(number, str))
            yield where, number, entry
        if len(kinds) > 1 and self.dataset.test_mode and name != 'annotations':
            self.found.add(MIXED, f'{self.file}, {name}', 'numbers and texts', 'ids of one type')

    def _categories(self, entries: list[tuple[str, dict]]) -> dict[Any, str]:
        """The name of each category, by its id."""
        classes = [str(name) for name in self.dataset.metainfo['classes']]
        names: list[str] = []
        by_id: dict[Any, str] = {}
        for where, number, entry in self._ids('categories', entries):
            name = entry.get('name')
            by_id.setdefault(number, str(name))
            if not isinstance(name, str):
                self.found.add(MALFORMED, where, called(entry, 'name'), 'a name')
            elif name in names:
                self.found.add(TWICE, where, called(entry, 'name'), 'a name of its own')
            else:
                names.append(name)
        if not entries:
            return by_id
        differences = compare_categories(classes, names)
        for name, near in differences.missing:
            hint = f'; is it {near!r}?' if near else ''
            if near and normal_form(near) == normal_form(name):
                hint += ', in another Unicode normal form'
            where = f'{self.file}, class {name!r} of the config'
            self.found.add(NO_CATEGORY, where, 'no category', f'one of this name{hint}')
        for name in differences.extra:
            where = f'{self.file}, category {name!r}'
            self.found.add(NO_CLASS, where, 'not a class of the config', f'one of its {len(classes)} classes')
        if differences.reordered and not differences.missing:
            label, name, category = differences.reordered
            where = f'{self.file}, category {category!r}'
            expected = f"{name!r} there, as in the config's classes"
            self.found.add(ORDER, where, f'becomes label {label}', expected)
        return by_id

    def _images(self, entries: list[tuple[str, dict]]) -> dict[Any, dict]:
        """The images by id, without those whose name or size cannot be used."""
        images: dict[Any, dict] = {}
        for where, number, entry in self._ids('images', entries):
            name = entry.get('file_name')
            if not isinstance(name, str) or not name:
                self.found.add(MALFORMED, where, called(entry, 'file_name'), 'the name of a file')
            elif leaves(name):
                expected = f'a name inside {inside(self.folder, self.dataset.data_root)}/'
                self.found.add(LEAVES, where, called(entry, 'file_name'), expected)
            for key in ('height', 'width'):
                if not _whole(entry.get(key)) or not 0 < entry[key] < LARGEST:
                    self.found.add(MALFORMED, where, called(entry, key), 'a whole number of pixels')
            images.setdefault(number, entry)
        self.found.facts['images'] = str(len(entries))
        return images

    def _annotations(
        self, entries: list[tuple[str, dict]], categories: dict[Any, str], images: dict[Any, dict]
    ) -> None:
        objects = CocoObjects(self.dataset, self.found, self.file)
        sizes = {number: size for number, entry in images.items() if (size := _size(entry))}
        scored = self.dataset.test_mode
        tracked = self.progress.track(entries, description=f'{self.found.split} annotations')
        for place, number, entry in self._ids('annotations', tracked):
            image, category = (entry.get(key) for key in ('image_id', 'category_id'))
            where = f'{self.file}, annotation {short(number)} of image {short(image)}'
            if not _usable(image) or image not in images:
                self.found.add(UNKNOWN_IMAGE, where, called(entry, 'image_id'), 'the id of an image')
                image = None
            else:
                where += f' ({short(images[image].get("file_name"))})'
            name = categories.get(category) if category is not None and _usable(category) else None
            if name is None:
                expected = 'the id of a category'
                self.found.add(UNKNOWN_CATEGORY, where, called(entry, 'category_id'), expected)
            if number == 0:
                self.found.add(ID_ZERO, where, called(entry, 'id'), 'ids from 1')
            elif scored and not _counts(number):
                self.found.add(ID_TEXT, place, called(entry, 'id'), 'a number')
            for kind, came, expected in problems(entry, sizes.get(image), self.masks, scored):
                self.found.add(kind, where, came, expected)
            objects.add(number, image, name, entry)
        self.found.facts['annotations'] = str(objects.count)
        self.found.facts['images without annotation'] = str(len(images.keys() - objects.of_image.keys()))
        objects.report(images, sizes)
        for name in objects.classes if objects.count else ():
            if not objects.used[name] and name in categories.values():
                self.found.add(NEVER, f'{self.file}, class {name!r}', 'no annotation', 'some')

    def _files(self, images: dict[Any, dict]) -> None:
        """Read the images, and compare their sizes."""
        named = [
            (number, entry)
            for number, entry in images.items()
            if isinstance(name := entry.get('file_name'), str) and name and not leaves(name)
        ]
        paths = [self.folder / entry['file_name'] for _, entry in named]
        read = read_all(picture, paths, self.progress, f'{self.found.split} images')
        for (number, entry), (path, seen) in zip(named, read, strict=True):
            where = f'{inside(path, self.dataset.data_root)}, image {short(number)}'
            if isinstance(seen, Damaged):
                self.found.add(seen.kind, where, seen.came, 'a whole image')
                continue
            self.found.photos.append(Photo(entry['file_name'], path, seen.content, seen.pixels))
            for kind, came, expected in seen.warnings:
                self.found.add(kind, where, came, expected)
            size, annotated = seen.size, _size(entry)
            if annotated and size != annotated:
                came = f'height {size[0]}, width {size[1]}'
                if size == annotated[::-1]:
                    came += ' (exchanged: by an EXIF tag, which OpenCV obeys, or in the annotations)'
                expected = f'height {annotated[0]}, width {annotated[1]}, as in {self.file}'
                self.found.add(SIZE, where, came, expected)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _usable(value: Any) -> bool:
    """Whether a value can be an id: pycocotools and MMDetection take numbers and texts."""
    return isinstance(value, str) or _whole(value) or (isinstance(value, float) and math.isfinite(value))


def _counts(number: Any) -> bool:
    """Whether an annotation id fits into pycocotools' tables of numbers, and is not its 'no match'."""
    try:
        return float(number) != 0
    except (ValueError, OverflowError):
        return False


def _size(image: dict) -> tuple[int, int] | None:
    """(H, W) that the file says of an image, if it is one."""
    size: Any = image.get('height'), image.get('width')
    return size if all(_whole(side) and 0 < side < LARGEST for side in size) else None
