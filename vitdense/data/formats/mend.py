"""Annotations as a dataset class can read them: what is wrong is named, and mended where that is certain."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...console import plural
from ...findings import Kind
from .files import SIDEWAYS, image_header
from .problems import (
    ANNOTATED_TWICE,
    CLIPPED,
    EXCHANGED,
    NO_SIZE,
    NOT_FINITE,
    OTHER_SIZE,
    OUTSIDE,
    SHORT_POLYGON,
    TURNED,
    UNKNOWN_TURN,
    UNREADABLE_IMAGE,
    Problem,
)
from .records import Annotations, Instance, Record

ROUNDING = 1.0  # pixel, by which tools put a box out of its image without meaning it
LEAST_SIDE = 1e-3  # pixel, below which a box has no size

Point = Callable[[float, float], tuple[float, float]]


def mend(found: Annotations) -> Annotations:
    """Boxes and polygons inside their images, as these are shown, in place; the others are left out."""
    for split, records in found.splits.items():
        kept, seen = [], set()
        for record in records:
            where = record.image.name
            if record.image in seen:
                found.problems.append(Problem(ANNOTATED_TWICE, where, 'the first is kept'))
                continue
            seen.add(record.image)
            if _upright(record, found.problems):
                record.instances = _mended(record, found.problems)
                kept.append(record)
        found.splits[split] = kept
    return found


def _upright(record: Record, problems: list[Problem]) -> bool:
    """Turn what was annotated on the stored pixels as the EXIF tag turns the image; False if sizes differ."""
    header = image_header(record.image)
    if header is None:
        problems.append(Problem(UNREADABLE_IMAGE, record.image.name, 'no image'))
        return False
    size, record.odd = header.size, header.odd
    if record.size == size:
        shows = record.sized and header.orientation in SIDEWAYS and size[0] != size[1]
        if header.orientation > 1 and not shows:
            came = f'EXIF orientation {header.orientation}'
            problems.append(Problem(UNKNOWN_TURN, record.image.name, came))
        return True
    if record.size != size[::-1] or not (turn := _turn(header.orientation, record.size)):
        came = f'{record.size[0]} × {record.size[1]} for {size[0]} × {size[1]} (H × W)'
        problems.append(Problem(OTHER_SIZE, record.image.name, came))
        return False
    turned = [_turned(one, turn) for one in record.instances if not isinstance(one.outline, dict)]
    if left_out := len(record.instances) - len(turned):
        came = f'{plural(left_out, "object")} as run lengths of the stored pixels'
        problems.append(Problem(OTHER_SIZE, record.image.name, came))
    record.instances, record.size = turned, size
    problems.append(Problem(TURNED, record.image.name, 'boxes turned, too'))
    return True


def _turn(orientation: int, stored: tuple[int, int]) -> Point | None:
    """From a point of the stored pixels to that of the image as it is shown (EXIF 2.3, table 6)."""
    height, width = stored
    return {
        5: lambda x, y: (y, x),
        6: lambda x, y: (height - y, x),
        7: lambda x, y: (height - y, width - x),
        8: lambda x, y: (y, width - x),
    }.get(orientation)


def _turned(one: Instance, turn: Point) -> Instance:
    x, y, width, height = one.box
    (left, top), (right, bottom) = turn(x, y), turn(x + width, y + height)
    box = min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)
    if not isinstance(one.outline, list):
        return replace(one, box=box)
    outline = [
        polygon
        if _points(polygon) is None  # which is named later
        else [number for point in zip(polygon[::2], polygon[1::2], strict=True) for number in turn(*point)]
        for polygon in one.outline
    ]
    return replace(one, box=box, outline=outline)


def _points(polygon: Any) -> np.ndarray | None:
    """x1, y1, x2, y2, … of three points or more, or None."""
    try:
        points = np.asarray(polygon, float)
    except (TypeError, ValueError):
        return None
    right = points.ndim == 1 and len(points) >= 6 and len(points) % 2 == 0 and np.isfinite(points).all()
    return points if right else None


def _mended(record: Record, problems: list[Problem]) -> list[Instance]:
    instances = []
    for number, one in enumerate(record.instances, 1):
        where = f'{record.image.name}: object {number}'
        if kind := _wrong(one, record.size):
            problems.append(Problem(kind, where, ', '.join(f'{value:g}' for value in one.box)))
            continue
        box = _clipped(one.box, record.size)
        if any(abs(a - b) > ROUNDING for a, b in zip(_corners(box), _corners(one.box), strict=True)):
            problems.append(Problem(CLIPPED, where, 'clipped to it'))
        instances.append(replace(one, box=box, outline=_outline(one, record, where, problems)))
    return instances


def _wrong(one: Instance, size: tuple[int, int]) -> Kind | None:
    x, y, width, height = one.box
    if not all(map(math.isfinite, one.box)):
        return NOT_FINITE
    if width < 0 or height < 0:
        return EXCHANGED
    if min(x + width, size[1]) <= max(x, 0) or min(y + height, size[0]) <= max(y, 0):
        return OUTSIDE if width > LEAST_SIDE and height > LEAST_SIDE else NO_SIZE
    return None if width > LEAST_SIDE and height > LEAST_SIDE else NO_SIZE


def _corners(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _clipped(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    left, top, right, bottom = _corners(box)
    if left >= 0 and top >= 0 and right <= size[1] and bottom <= size[0]:
        return box  # to the last bit
    left, top = max(left, 0.0), max(top, 0.0)
    return left, top, min(right, float(size[1])) - left, min(bottom, float(size[0])) - top


def _outline(one: Instance, record: Record, where: str, problems: list[Problem]) -> list | dict | None:
    """Polygons of three points and more, inside their image."""
    if not isinstance(one.outline, list):
        return one.outline
    kept = []
    for polygon in one.outline:
        points = _points(polygon)
        if points is None:
            problems.append(Problem(SHORT_POLYGON, where, str(polygon)[:60]))
            continue
        inside = points.reshape(-1, 2).clip(0, record.size[::-1]).ravel()
        kept.append(polygon if (inside == points).all() else inside.tolist())
    return kept or None
