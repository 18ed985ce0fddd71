"""COCO's layout: one JSON file with images, annotations and categories, and a folder of images."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from rich.progress import Progress

from ...findings import Level
from ..categories import compare_categories
from .annotations import problems
from .findings import EMPTY, LEAVES, MISSING_FOLDER, NEVER, Findings, Kind, called, inside, leaves, short
from .images import Damaged, picture_size, read_all

NO_FILE = Kind('missing annotation files')
NOT_JSON = Kind('annotation files that are not JSON')
NO_LIST = Kind('lists that an annotation file lacks')
MALFORMED = Kind('malformed entries')
TWICE = Kind('ids and names that occur twice')
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
            whole = json.loads(file.read_text(encoding='utf-8'))
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

    def _ids(self, entries: Iterable[tuple[str, dict]]) -> Iterator[tuple[str, Any, dict]]:
        """The entries with a usable id, and the id."""
        seen = set()
        for where, entry in entries:
            number = entry.get('id')
            if not _whole(number):
                self.found.add(MALFORMED, where, called(entry, 'id'), 'a whole number')
                continue
            if number in seen:
                self.found.add(TWICE, where, called(entry, 'id'), 'an id of its own')
            seen.add(number)
            yield where, number, entry

    def _categories(self, entries: list[tuple[str, dict]]) -> dict[int, str]:
        """The name of each category, by its id."""
        classes = [str(name) for name in self.dataset.metainfo['classes']]
        names: list[str] = []
        by_id: dict[int, str] = {}
        for where, number, entry in self._ids(entries):
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

    def _images(self, entries: list[tuple[str, dict]]) -> dict[int, dict]:
        """The images by id, without those whose name or size cannot be used."""
        images: dict[int, dict] = {}
        for where, number, entry in self._ids(entries):
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
        self, entries: list[tuple[str, dict]], categories: dict[int, str], images: dict[int, dict]
    ) -> None:
        used: Counter[str] = Counter()
        annotated = set()
        tracked = self.progress.track(entries, description=f'{self.found.split} annotations')
        count = 0
        for _, number, entry in self._ids(tracked):
            count += 1
            image, category = (entry.get(key) for key in ('image_id', 'category_id'))
            where = f'{self.file}, annotation {short(number)} of image {short(image)}'
            size = None
            if not _whole(image) or image not in images:
                self.found.add(UNKNOWN_IMAGE, where, called(entry, 'image_id'), 'the id of an image')
            else:
                annotated.add(image)
                size = _size(images[image])
                where += f' ({short(images[image].get("file_name"))})'
            if not _whole(category) or category not in categories:
                expected = 'the id of a category'
                self.found.add(UNKNOWN_CATEGORY, where, called(entry, 'category_id'), expected)
            else:
                used[categories[category]] += 1
            for kind, came, expected in problems(entry, size, self.masks, self.dataset.test_mode):
                self.found.add(kind, where, came, expected)
        self.found.facts['annotations'] = str(count)
        self.found.facts['images without annotation'] = str(len(images.keys() - annotated))
        for name in self.dataset.metainfo['classes'] if count else ():
            if not used[name] and name in categories.values():
                self.found.add(NEVER, f'{self.file}, class {name!r}', 'no annotation', 'some')

    def _files(self, images: dict[int, dict]) -> None:
        """Read the images, and compare their sizes."""
        named = [
            (number, entry)
            for number, entry in images.items()
            if isinstance(name := entry.get('file_name'), str) and name and not leaves(name)
        ]
        paths = [self.folder / entry['file_name'] for _, entry in named]
        read = read_all(picture_size, paths, self.progress, f'{self.found.split} images')
        for (number, entry), (path, size) in zip(named, read, strict=True):
            where = f'{inside(path, self.dataset.data_root)}, image {short(number)}'
            if isinstance(size, Damaged):
                self.found.add(size.kind, where, size.came, 'a whole image')
                continue
            self.found.images[entry['file_name']] = path
            expected = _size(entry)
            if expected and size != expected:
                came = f'height {size[0]}, width {size[1]}'
                if size == expected[::-1]:
                    came += ' (exchanged: by an EXIF tag, which OpenCV obeys, or in the annotations)'
                said = f'height {expected[0]}, width {expected[1]}, as in {self.file}'
                self.found.add(SIZE, where, came, said)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(image: dict) -> tuple[int, int] | None:
    """(H, W) that the file says of an image, if it is one."""
    size: Any = image.get('height'), image.get('width')
    return size if all(_whole(side) and 0 < side < LARGEST for side in size) else None
