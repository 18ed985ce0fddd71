"""YOLO's layout: a text file of lines for each image, and the classes in data.yaml or classes.txt.

A line is `class x y width height`, the centre and the sides of a box, or `class x1 y1 x2 y2 …`, a polygon;
all are shares of the image's width and height. Oriented boxes are polygons of four points. The text file has
the image's name, and lies in `labels/` where the image lies in `images/`, or else beside it.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ...errors import UserError
from ...findings import Kind
from .files import image_size
from .problems import (
    MALFORMED_LINE,
    MISSING_IMAGE,
    NOT_FINITE,
    SAME_STEM,
    UNKNOWN_CLASS,
    UNREADABLE_IMAGE,
    Problem,
)
from .records import SPLIT_NAMES, Annotations, Instance, Record, hull, image_files, split_of

YAML_FILES = ('data.yaml', 'dataset.yaml', 'data.yml', 'dataset.yml')
CLASS_FILES = ('classes.txt', 'obj.names', 'labels.txt')  # of labelImg, Darknet, Label Studio
BOX, CORNERS, LEAST = 4, 8, 6  # coordinates of a box, of an oriented one, of a polygon


class _Malformed(Exception):
    def __init__(self, kind: Kind):
        super().__init__(kind.name)
        self.kind = kind


def read(folder: Path) -> Annotations | None:
    """Read the labels of every image; without settings, folders say the splits.

    None, if there are neither settings nor, beside labels as text, a file of classes.

    Raises:
        UserError: the settings cannot be read, name no classes, or a folder that is not there.
    """
    if file := _settings_file(folder):
        settings = _load(file)
        classes, splits = _names(file, settings.get('names')), _splits(file, settings)
    elif (file := _class_file(folder)) and (images := list(_images(folder))):
        if not any(_label_file(image).is_file() for image in images):
            return None
        classes = [line.strip() for line in _lines(file) if line.strip()]
        splits = {}
        for image in images:
            splits.setdefault(split_of(image.relative_to(folder).parts[:-1]) or 'all', []).append(image)
    else:
        return None
    found = Annotations('YOLO', classes, {})
    lengths: set[int] = set()
    for split, images in splits.items():
        found.splits[split] = list(_records(images, folder, len(classes), found.problems, lengths))
    if lengths == {CORNERS}:
        found.format = 'YOLO, oriented boxes'
        found.notes.append('oriented boxes become the upright boxes around them')
    return found


def _settings_file(folder: Path) -> Path | None:
    files = [folder / name for name in YAML_FILES]
    return next((file for file in files if file.is_file()), None)


def _class_file(folder: Path) -> Path | None:
    files = [place / name for place in (folder, folder / 'labels') for name in CLASS_FILES]
    return next((file for file in files if file.is_file()), None)


def _load(file: Path) -> dict:
    try:
        settings = yaml.safe_load(file.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f'{file}: cannot be read as YAML: {error}') from error
    if not isinstance(settings, dict):
        raise UserError(f'{file}: expected entries such as train, val and names')
    return settings


def _names(file: Path, names: Any) -> list[str]:
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise UserError(f'{file}: names: expected the numbers 0 to {len(names) - 1}, got {sorted(names)}')
        names = [names[label] for label in sorted(names)]
    if not isinstance(names, list) or not names:
        raise UserError(f'{file}: names: expected the classes, a list or numbers and names, got {names!r}')
    return [str(name) for name in names]


def _splits(file: Path, settings: dict) -> dict[str, list[Path]]:
    """The images of each split: of a folder, of several, or of a text file that lists them."""
    splits: dict[str, list[Path]] = {}
    for key, split in SPLIT_NAMES.items():
        if places := settings.get(key):
            places = places if isinstance(places, list) else [places]
            splits.setdefault(split, []).extend(
                image for place in places for image in _listed(file, settings, str(place))
            )
    if not splits:
        raise UserError(f'{file}: names no folder of images as train or val')
    if splits.get('val') == splits.get('train'):  # as people write who have no split
        splits = {'all': splits['train'], **{key: splits[key] for key in ('test',) if key in splits}}
    return splits


def _listed(file: Path, settings: dict, place: str) -> list[Path]:
    """Ultralytics joins `path`, which it looks for from its own folder; Roboflow writes ../train/images."""
    base = Path(str(settings.get('path') or ''))
    inside = Path(*[part for part in Path(place).parts if part != '..'])
    tried = [
        file.parent / base / place,
        file.parent / place,
        file.parent / base.name / place,
        file.parent / inside,
    ]
    found = next((path for path in tried if path.exists()), None)
    if found is None:
        raise UserError(
            f'{file}: {place}: no such folder, looked for at {", ".join(map(str, dict.fromkeys(tried)))}'
        )
    if found.is_dir():
        return list(_images(found))
    return [_beside(found, Path(line.strip())) for line in _lines(found) if line.strip()]


def _beside(listing: Path, image: Path) -> Path:
    """An image of a list: from the list's folder, or from the one above."""
    above = listing.parent.parent / image
    return above if above.is_file() and not (listing.parent / image).is_file() else listing.parent / image


def _images(folder: Path) -> Iterator[Path]:
    """Those of a folder and of the folders below it."""
    for root in [folder, *sorted(path for path in folder.rglob('*') if path.is_dir())]:
        yield from image_files(root)


def _label_file(image: Path) -> Path:
    """In the nearest `labels` that takes the place of an `images`, or beside the image."""
    parts = list(image.parts)
    if 'images' in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index('images')
        parts[last] = 'labels'
        file = Path(*parts).with_suffix('.txt')
        if file.is_file():
            return file
    return image.with_suffix('.txt')


def _records(
    images: list[Path], folder: Path, classes: int, problems: list[Problem], lengths: set[int]
) -> Iterator[Record]:
    names: dict[Path, list[str]] = defaultdict(list)
    for image in images:
        names[_label_file(image)].append(image.name)
    for image in sorted(images, key=lambda path: (path.name, path)):
        if not image.is_file():
            problems.append(Problem(MISSING_IMAGE, _inside(image, folder), 'no such file'))
            continue
        if (size := image_size(image)) is None:
            problems.append(Problem(UNREADABLE_IMAGE, _inside(image, folder), 'no image'))
            continue
        file = _label_file(image)
        if file.is_file() and len(names[file]) > 1:
            came = ', '.join(names[file])
            problems.append(Problem(SAME_STEM, _inside(image, folder), came))
            continue
        record = Record(image, size, sized=False)
        for number, line in enumerate(_lines(file) if file.is_file() else (), 1):
            if not line.strip():
                continue
            try:
                record.instances.append(_instance(line, size, classes, lengths))
            except _Malformed as error:
                problems.append(
                    Problem(error.kind, f'{_inside(file, folder)}: line {number}', line.strip()[:60])
                )
        yield record


def _inside(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _instance(line: str, size: tuple[int, int], classes: int, lengths: set[int]) -> Instance:
    """The object of a line.

    Raises:
        _Malformed: the line is none of YOLO's.
    """
    try:
        label, *numbers = (float(word) for word in line.split())
    except ValueError:
        raise _Malformed(MALFORMED_LINE) from None
    if not label.is_integer() or not 0 <= label < classes:
        raise _Malformed(UNKNOWN_CLASS)
    height, width = size
    if len(numbers) == BOX:
        x, y, w, h = numbers
        lengths.add(BOX)
        return Instance(int(label), ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    if len(numbers) < LEAST or len(numbers) % 2:
        raise _Malformed(MALFORMED_LINE)
    if not all(map(math.isfinite, numbers)):
        raise _Malformed(NOT_FINITE)
    lengths.add(len(numbers))
    points = [number * (height if i % 2 else width) for i, number in enumerate(numbers)]
    return Instance(int(label), hull(points), [points])


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding='utf-8-sig', errors='replace').splitlines()
