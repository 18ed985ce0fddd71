"""Folders of images and of label maps, which are images whose values or colours are classes.

The maps lie in a folder called labels, masks, annotations, …, in the same arrangement as the images beside
it, and have their names, perhaps with an ending such as `_mask`. A file of classes says what values mean: a
name per line, or names with colours (`palette.txt`, CVAT's `labelmap.txt`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ...errors import UserError
from ...findings import first_few
from .files import image_size
from .problems import MAP_OF_OTHER_SIZE, NOT_ANNOTATED, SAME_STEM, UNREADABLE_IMAGE, UNREADABLE_MAP, Problem
from .records import Annotations, Record, image_files, split_of

FOLDERS = (
    *('labels', 'label', 'masks', 'mask', 'annotations', 'annotation', 'gt', 'groundtruth'),
    *('segmentation', 'segmentationclass', 'labelmaps', 'label_maps', 'seg'),
)
IMAGE_FOLDERS = ('images', 'image', 'imgs', 'img', 'jpegimages', 'photos', 'pictures', 'rgb')
ENDINGS = ('_mask', '_label', '_labels', '_gt', '_seg', '_segmentation', '_l', '-mask', '-label')
CLASS_FILES = (
    'classes.txt',
    'palette.txt',
    'labelmap.txt',
    'labels.txt',
    'class_names.txt',
    'label_colors.txt',
)
MOST = 256  # classes that colours alone can be
UNLABELLED = 255  # value in what is written
SKIPPED = 8  # numbers of classes that may not occur
NOTHING = ((0, 0, 0), (255, 255, 255))  # colours that may be unlabelled
NUMBER = re.compile(r'\d+')

Value = int | tuple[int, int, int]


class Named(NamedTuple):
    """A line of a file of classes."""

    name: str
    colour: tuple[int, int, int] | None


def read(folder: Path) -> Annotations | None:
    """Read the sizes of all images, and the values of all maps.

    None, if no folder of images has one of label maps beside it.

    Raises:
        UserError: values and classes do not fit each other, or there is no map.
    """
    if not (pairs := list(_pairs_of_folders(folder))):
        return None
    found = Annotations('label maps', [], {})
    counts: Counter[Value] = Counter()
    for images, maps in pairs:
        by_stem = _by_stem(maps)
        same = _by_stem(images)
        for image in image_files(images):
            where = str(image.relative_to(folder))
            paths = next(
                (by_stem[image.stem + end] for end in ('', *ENDINGS) if image.stem + end in by_stem), []
            )
            size = image_size(image)
            if size is None:
                found.problems.append(Problem(UNREADABLE_IMAGE, where, image.name))
                continue
            if not paths:
                found.problems.append(Problem(NOT_ANNOTATED, where, f'none in {maps.name}/'))
                continue
            if several := [one for one in (same[image.stem], paths) if len(one) > 1]:
                came = ', '.join(one.name for one in several[0])
                found.problems.append(Problem(SAME_STEM, where, came))
                continue
            path = paths[0]
            values = _values(path)
            if values is None:
                found.problems.append(Problem(UNREADABLE_MAP, str(path.relative_to(folder)), path.name))
                continue
            if values.shape[:2] != size:
                came = f'{values.shape[0]} × {values.shape[1]} for an image of {size[0]} × {size[1]} (H × W)'
                found.problems.append(Problem(MAP_OF_OTHER_SIZE, str(path.relative_to(folder)), came))
                continue
            counts.update(_count(values))
            split = split_of(image.relative_to(folder).parts[:-1]) or 'all'
            found.splits.setdefault(split, []).append(Record(image, size, label_map=path))
    if not found.splits:
        raise UserError(f'{folder}: no image has a label map of its name and size')
    found.pixels = in_one_form(counts)
    found.classes, found.values, note = meanings(found.pixels, _class_file(folder))
    found.notes.append(note)
    return found


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in image_files(folder):
        found[path.stem].append(path)
    return found


def _pairs_of_folders(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each folder with images, and the one with their maps."""
    below = [folder, *sorted(path for path in folder.rglob('*') if path.is_dir())]
    for images in below:
        parts = images.relative_to(folder).parts
        for i, part in enumerate(parts):
            if part.lower() not in IMAGE_FOLDERS:
                continue
            beside = folder.joinpath(*parts[:i])
            names = {path.name.lower(): path for path in beside.iterdir() if path.is_dir()}
            for name in FOLDERS:
                maps = names[name].joinpath(*parts[i + 1 :]) if name in names else images
                if maps != images and any(image_files(images)) and any(image_files(maps)):
                    yield images, maps
                    break


def _values(path: Path) -> np.ndarray | None:
    """(H, W), or (H, W, 3) of a map in colours."""
    try:
        with Image.open(path) as image:
            if image.mode in ('RGB', 'RGBA', 'CMYK', 'LA', 'PA'):
                values = np.asarray(image.convert('RGB'))
                same = (values == values[..., :1]).all()
                return values[..., 0] if same else values
            return np.asarray(image.convert('L') if image.mode == '1' else image)
    except Exception:  # Pillow's formats raise anything on a damaged file
        return None


def _count(values: np.ndarray) -> dict[Value, int]:
    """How many pixels have each value."""
    colours = values.ndim == 3
    flat = values.astype(np.int64) @ (65536, 256, 1) if colours else values
    unique, counts = np.unique(flat, return_counts=True)
    keys = [(key >> 16, key >> 8 & 255, key & 255) if colours else key for key in unique.tolist()]
    return dict(zip(keys, counts.tolist(), strict=True))


def in_one_form(counts: Counter[Value]) -> Counter[Value]:
    """Values as colours, if any is one: a map in colours can be gray all over."""
    if not any(isinstance(value, tuple) for value in counts):
        return counts
    colours: Counter[Value] = Counter()
    for value, count in counts.items():
        colours[value if isinstance(value, tuple) else (value, value, value)] += count
    return colours


def _class_file(folder: Path) -> list[Named]:
    """The classes that a file names; the numbers of a line are a colour, or its own number."""
    files = [folder / name for name in CLASS_FILES]
    file = next((file for file in files if file.is_file()), None)
    named: list[Named] = []
    for line in file.read_text(encoding='utf-8-sig', errors='replace').splitlines() if file else ():
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        numbers = [int(number) for number in NUMBER.findall(line)]
        red, green, blue = numbers[-3:] if len(numbers) >= 3 else (256, 256, 256)
        colour = (red, green, blue) if max(red, green, blue) < 256 else None
        words = NUMBER.sub(' ', line) if colour else line
        name = ' '.join(re.sub(r'[:,;\t]+', ' ', words).split())
        named.append(Named(name or f'class {len(named)}', colour))
    return named


def meanings(counts: Counter[Value], named: list[Named]) -> tuple[list[str], dict[Value, int | None], str]:
    """The classes, the label of each value (None where it is unlabelled), and how that was decided.

    Args:
        counts: pixels of each value, in one form.
        named: the classes of a file; none, if there is no file.

    Raises:
        UserError: there are values that no class stands for.
    """
    if any(isinstance(value, tuple) for value in counts):
        return _colours(counts, named)
    values = sorted(value for value in counts if isinstance(value, int))
    if not named:
        return _unnamed(values)
    names = [one.name for one in named]
    number = len(names)
    labels: dict[Value, int | None] = {}
    if number == 1 and values in ([0, 1], [0, UNLABELLED], [0, 1, UNLABELLED]):
        labels = {0: 0, UNLABELLED: None, values[1]: 1}  # one class alone would teach nothing
        note = (
            f'the file of classes names {names[0]} alone: value {values[1]} is {names[0]}, 0 the background'
        )
        return ['background', names[0]], labels, note
    if number <= UNLABELLED in values:
        labels[UNLABELLED] = None
        values.remove(UNLABELLED)
    if strange := [value for value in values if value > number]:
        raise UserError(
            f'label maps have the values {first_few(strange)}, and the file of classes names {number}'
        )
    if number in values:
        labels.update((value, value - 1 if value else None) for value in values)
        return names, labels, f'values 1 to {number} are the {number} classes of the file; 0 is unlabelled'
    labels.update((value, value) for value in values)
    return names, labels, f'values 0 to {number - 1} are the {number} classes of the file; 0 is {names[0]}'


def _unnamed(values: list[int]) -> tuple[list[str], dict[Value, int | None], str]:
    """Each value is a class; but for a 255 behind the numbers of classes, which is unlabelled."""
    others = [value for value in values if value != UNLABELLED]
    unlabelled = len(others) > 1 and UNLABELLED in values and others[-1] < len(others) + SKIPPED
    kept = others if unlabelled else values
    labels: dict[Value, int | None] = {value: label for label, value in enumerate(kept)}
    note = f'no file names the classes: the {len(kept)} values {first_few(kept, 8)} are taken for classes'
    if unlabelled:
        labels[UNLABELLED] = None
        note += '; 255 is unlabelled'
    return [f'value {value}' for value in kept], labels, note


def _colours(counts: Counter[Value], named: list[Named]) -> tuple[list[str], dict[Value, int | None], str]:
    found = sorted(colour for colour in counts if isinstance(colour, tuple))
    known = {one.colour: label for label, one in enumerate(named) if one.colour}
    labels: dict[Value, int | None] = {}
    if not known:
        if len(found) > MOST:
            raise UserError(
                f'label maps have {len(found)} colours, more than {MOST} classes: are they photos, or JPEGs?'
            )
        labels.update((colour, label) for label, colour in enumerate(found))
        note = f'no file names the colours of the label maps: the {len(found)} colours are taken for classes'
        return [f'#{red:02x}{green:02x}{blue:02x}' for red, green, blue in found], labels, note
    if strange := [colour for colour in found if colour not in known and colour not in NOTHING]:
        raise UserError(
            f'label maps have {len(strange)} colours that the file of classes does not name: '
            f'{first_few(strange)}'
        )
    labels.update((colour, known.get(colour)) for colour in found)
    note = f'colours are the {len(named)} classes of the file'
    if others := [colour for colour, label in labels.items() if label is None]:
        note += f'; {first_few(others)} is unlabelled'
    return [one.name for one in named], labels, note


def labels_of(path: Path, values: dict[Value, int | None]) -> np.ndarray:
    """A map (H, W) uint8 of labels, 255 where it is unlabelled."""
    array = _values(path)
    assert array is not None, path  # it was read before
    colours = any(isinstance(value, tuple) for value in values)
    if colours and array.ndim == 2:
        array = np.repeat(array[..., None], 3, 2)
    out = np.full(array.shape[:2], UNLABELLED, np.uint8)
    for value, label in values.items():
        if label is not None:
            out[(array == value).all(-1) if colours else array == value] = label
    return out
