"""One annotation of a COCO file: its box, its outline, and what the libraries make of odd ones.

Coordinates may stand out of the image by a pixel, because tools round differently.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ...findings import Kind, Level
from .findings import called, short

BOX_MALFORMED = Kind('malformed boxes')
BOX_NEGATIVE = Kind('boxes of negative size')
BOX_OUTSIDE = Kind('boxes that leave their image')
LEFT_OUT = Kind(
    'annotations that MMDetection leaves out',
    'of the training; pycocotools scores them',
    level=Level.WARNING,
)
AREA = Kind('malformed areas')
AREA_UNFIT = Kind(
    'areas that do not fit their box',
    'pycocotools tells small, medium and large objects by them',
    level=Level.WARNING,
)
CROWD = Kind('iscrowd other than 0 or 1')
NO_CROWD = Kind(
    'annotations without iscrowd',
    'vitdense scores them as 0, pycocotools alone fails after the evaluation',
    level=Level.WARNING,
)
OUTLINE_MALFORMED = Kind('malformed segmentations')
NO_OUTLINE = Kind('annotations without segmentation', 'this config trains masks')
POLYGON_SHORT = Kind('polygons with fewer than 3 points', 'pycocotools takes 4 coordinates for a box')
POLYGON_ODD = Kind('polygons with an odd number of coordinates')
POLYGON_OUTSIDE = Kind('polygons that leave their image')
RLE_SIZE = Kind('run lengths of another size than the image')
RLE_BROKEN = Kind('run lengths that cannot be decoded')

MARGIN = 1  # pixel
LARGEST = Image.MAX_IMAGE_PIXELS or 0  # pixels of an image, above which Pillow suspects an attack
# A compressed run is up to five characters that say that more follow, and one that does not. pycocotools
# trusts that; on others it reads past the end.
RUNS = re.compile('(?:[P-o]{0,5}[0-O])+')

Problem = tuple[Kind, str, str]  # what it is, what came, what was expected


def problems(annotation: dict, size: tuple[int, int] | None, masks: bool, scored: bool) -> Iterator[Problem]:
    """What is wrong with an annotation.

    Args:
        annotation: as it came out of the file; its values can be anything.
        size: (H, W) of its image; None if it has none.
        masks: whether the config reads outlines.
        scored: whether predictions are scored against it.
    """
    thin = False
    for problem in _box(annotation, size):
        thin = thin or problem[0] is LEFT_OUT
        yield problem
    area = _numbers([annotation.get('area')])
    if area is None or not np.isfinite(area).all():
        yield AREA, called(annotation, 'area'), 'a number of pixels'
    elif area[0] <= 0:
        if not thin:
            yield LEFT_OUT, called(annotation, 'area'), 'more than 0'
    elif scored and (box := well_formed_box(annotation)) and not _fits(area[0], *box[2:]):
        yield AREA_UNFIT, called(annotation, 'area'), f'pixels of a box of {box[2]:g} × {box[3]:g}'
    if annotation.get('ignore') and not thin:
        yield LEFT_OUT, called(annotation, 'ignore'), '0, or none'
    if annotation.get('iscrowd', 0) not in (0, 1):
        yield CROWD, called(annotation, 'iscrowd'), '0 or 1'
    elif scored and 'iscrowd' not in annotation:
        yield NO_CROWD, 'no iscrowd', '0 or 1'

    outline = annotation.get('segmentation')
    if not outline:  # as MMDetection asks
        if masks:
            yield NO_OUTLINE, called(annotation, 'segmentation'), 'polygons or run lengths'
    elif isinstance(outline, list) and all(isinstance(polygon, list) for polygon in outline):
        for number, polygon in enumerate(outline):
            yield from _polygon(polygon, f'polygon {number + 1} of {len(outline)}', size)
    elif isinstance(outline, dict):
        yield from _run_lengths(outline, size)
    else:
        expected = 'a list of polygons, or run lengths'
        yield OUTLINE_MALFORMED, called(annotation, 'segmentation'), expected


def well_formed_box(annotation: dict) -> list[float] | None:
    """[x, y, width, height], if it is four finite numbers and neither side is negative."""
    numbers = _numbers(annotation.get('bbox'))
    if numbers is None or len(numbers) != 4 or not np.isfinite(numbers).all() or (numbers[2:] < 0).any():
        return None
    return numbers.tolist()


def is_whole(annotation: dict) -> bool:
    """Whether an annotation has a box and an area to compute with."""
    area = _numbers([annotation.get('area')])
    return well_formed_box(annotation) is not None and area is not None and bool(np.isfinite(area).all())


def trains(annotation: dict, size: tuple[int, int]) -> bool:
    """Whether MMDetection keeps an annotation of an image of size (H, W): CocoDataset.parse_data_info.

    It fails on what is malformed, and leaves nothing out then.
    """
    box, area = well_formed_box(annotation), _numbers([annotation.get('area')])
    if box is None or area is None:
        return True
    if not area[0] > 0 or annotation.get('ignore'):
        return False
    x, y, width, height = box
    inside = min(x + width, size[1]) > max(x, 0) and min(y + height, size[0]) > max(y, 0)
    return inside and width >= 1 and height >= 1


def _fits(area: float, width: float, height: float) -> bool:
    """An area is as large as its box at most, but for the edge, and of a pixel or more if that is large."""
    return area <= (width + 2) * (height + 2) and (area >= 1 or width * height < 100)


def _box(annotation: dict, size: tuple[int, int] | None) -> Iterator[Problem]:
    numbers = _numbers(annotation.get('bbox'))
    came = called(annotation, 'bbox')
    if numbers is None or len(numbers) != 4 or not np.isfinite(numbers).all():
        yield BOX_MALFORMED, came, 'four finite numbers, [x, y, width, height]'
        return
    x, y, width, height = numbers.tolist()
    if width < 0 or height < 0:
        yield BOX_NEGATIVE, came, 'a width and a height, in [x, y, width, height]'
        return
    if width < 1 or height < 1:
        yield LEFT_OUT, came, 'a width and a height of 1 pixel or more'
    if size and not _within(np.array([[x, y], [x + width, y + height]]), size):
        yield BOX_OUTSIDE, came, f'a box inside {_said(size)}'


def _polygon(polygon: Any, name: str, size: tuple[int, int] | None) -> Iterator[Problem]:
    numbers = _numbers(polygon)
    if numbers is None or not np.isfinite(numbers).all():
        yield OUTLINE_MALFORMED, f'{name} {short(polygon)}', 'finite numbers, [x1, y1, x2, y2, …]'
    elif len(numbers) % 2:
        yield POLYGON_ODD, f'{name} has {len(numbers)} coordinates', 'as many x as y'
    elif len(numbers) < 6:
        yield POLYGON_SHORT, f'{name} has {len(numbers) // 2} points', '3 or more'
    elif size and not _within(numbers.reshape(-1, 2), size):
        low, high = numbers.reshape(-1, 2).min(0), numbers.reshape(-1, 2).max(0)
        came = f'{name} spans x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g}'
        yield POLYGON_OUTSIDE, came, f'points inside {_said(size)}'


def _run_lengths(outline: dict, size: tuple[int, int] | None) -> Iterator[Problem]:
    own, counts = outline.get('size'), outline.get('counts')
    sides = _numbers(own)
    if sides is None or sides.dtype.kind == 'f' or len(sides) != 2:
        yield RLE_BROKEN, called(outline, 'size'), 'its [height, width]'
        return
    if size and own != list(size):
        yield RLE_SIZE, f'size {short(own)}', f'{list(size)}, [height, width] of its image'
        return
    if isinstance(counts, str):
        if not RUNS.fullmatch(counts):
            yield RLE_BROKEN, called(outline, 'counts'), 'run lengths as pycocotools compresses them'
        elif size and size[0] * size[1] <= LARGEST and (amount := _covers(counts, *size)):
            yield RLE_BROKEN, f'{amount} pixels than the image', f'runs that sum to {size[0]} × {size[1]}'
    else:
        runs = _numbers(counts)
        if runs is None or runs.dtype.kind == 'f' or (runs < 0).any():
            yield RLE_BROKEN, called(outline, 'counts'), 'a string, or a list of whole numbers'
        elif size and (total := sum(runs.tolist())) != size[0] * size[1]:
            yield RLE_BROKEN, f'runs that sum to {total}', f'{size[0]} × {size[1]} = {size[0] * size[1]}'


def _covers(counts: str, height: int, width: int) -> str:
    """Whether compressed runs have 'more' or 'fewer' pixels than the image, or '' if just as many.

    pycocotools stops runs that are too many, and leaves pixels undefined after runs that are too few; those
    would also fill one pixel less.
    """

    def fits(pixels: int) -> bool:
        try:
            coco_mask.decode(dict(size=[pixels, 1], counts=counts))
        except ValueError:
            return False
        return True

    if not fits(height * width):
        return 'more'
    return 'fewer' if fits(height * width - 1) else ''


def _numbers(values: Any) -> np.ndarray | None:
    """A flat list of numbers as an array of any length, or None if it is not one."""
    if not isinstance(values, list) or not {*map(type, values)} <= {int, float}:
        return None
    try:
        array = np.array(values)
    except OverflowError:  # a number beyond all bounds
        return None
    return array if array.dtype.kind in 'iuf' else None


def _within(points: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether points (N, 2), x before y, lie in an image of size (H, W)."""
    return bool((points >= -MARGIN).all() and (points <= np.array(size[::-1]) + MARGIN).all())


def _said(size: tuple[int, int]) -> str:
    return f'width {size[1]}, height {size[0]}'
