"""LabelMe's layout: a JSON file of shapes for each image, beside it.

Shapes of one `group_id` and label are one object, in several parts. A `mask` is a picture of its own, which
can have holes; polygons cannot. Points and lines have no area and are left out, with a note.
"""

import base64
import io
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import UserError
from .files import ImageIndex, annotated_size, load_json, only
from .problems import MALFORMED_SHAPE, MISSING_IMAGE, UNKNOWN_CLASS, UNREADABLE_IMAGE, Problem
from .records import Annotations, Instance, Record, hull, split_of

CIRCLE = 32  # corners of the polygon that a circle becomes
KINDS = ('polygon', 'rectangle', 'circle', 'mask')


def read(folder: Path) -> Annotations | None:
    """Read every JSON file with shapes; classes are in the order of their names, folders say the splits.

    None, if there is no such file.

    Raises:
        UserError: no file has a shape with an area.
    """
    problems: list[Problem] = []
    if not (wholes := dict(_files(folder, problems))):
        return None
    labels = {one.get('label') for whole in wholes.values() for one in _shapes(whole) if _kind(one) in KINDS}
    classes = sorted(label for label in labels if isinstance(label, str) and label)
    if not classes:
        raise UserError(f'{folder}: no shape with an area in any of its {len(wholes)} JSON files')
    found = Annotations('LabelMe', classes, {}, problems=problems)
    index = ImageIndex(folder)
    left_out: Counter[str] = Counter()
    for file, whole in wholes.items():
        folders = file.relative_to(folder).parts[:-1]
        split = split_of(folders)
        if record := _record(file, whole, folder, index, split, found, left_out):
            found.splits.setdefault(split or 'all', []).append(record)
    for kind, count in left_out.items():
        found.notes.append(f'{count} shapes of the kind {kind} have no area and are left out')
    return found


def _files(folder: Path, problems: list[Problem]) -> Iterator[tuple[Path, dict]]:
    for file in sorted(folder.rglob('*.json'), key=lambda path: (path.name, path)):
        whole = load_json(file, problems)
        if isinstance(whole, dict) and isinstance(whole.get('shapes'), list):
            yield file, whole


def _shapes(whole: dict) -> list[dict]:
    return [one for one in whole['shapes'] if isinstance(one, dict)]


def _kind(shape: dict) -> str:
    return str(shape.get('shape_type') or 'polygon')


def _record(
    file: Path,
    whole: dict,
    folder: Path,
    index: ImageIndex,
    split: str | None,
    found: Annotations,
    left_out: Counter[str],
) -> Record | None:
    where = str(file.relative_to(folder))
    name = str(whole.get('imagePath') or '')
    path = (index.find(name, file.parent, split) if name else None) or only(
        index.by_stem.get(file.stem, []), folder, split
    )
    if path is None:
        found.problems.append(Problem(MISSING_IMAGE, where, name or file.stem))
        return None
    size, sized = annotated_size(whole.get('imageHeight'), whole.get('imageWidth'), path)
    if size is None:
        found.problems.append(Problem(UNREADABLE_IMAGE, where, path.name))
        return None
    groups: dict[Any, list[dict]] = {}
    for number, shape in enumerate(_shapes(whole), 1):
        if _kind(shape) not in KINDS:
            left_out[_kind(shape)] += 1
        elif shape.get('label') not in found.classes:
            came = repr(shape.get('label'))
            found.problems.append(Problem(UNKNOWN_CLASS, f'{where}: shape {number}', came))
        elif _points(shape) is None:
            found.problems.append(
                Problem(MALFORMED_SHAPE, f'{where}: shape {number}', str(shape.get('points'))[:60])
            )
        else:
            group = shape.get('group_id')
            groups.setdefault(
                (shape['label'], 'alone', number) if group is None else (shape['label'], group), []
            ).append(shape)
    record = Record(path, size, sized=sized)
    for (label, *_), shapes in groups.items():
        record.instances.append(_instance(shapes, found.classes.index(label), size))
    return record


def _points(shape: dict) -> list[float] | None:
    """x1, y1, x2, y2, …, or None."""
    try:
        points = [float(number) for point in shape['points'] for number in (point[0], point[1])]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    least = 6 if _kind(shape) == 'polygon' else 4
    return points if len(points) >= least and all(map(math.isfinite, points)) else None


def _instance(shapes: list[dict], label: int, size: tuple[int, int]) -> Instance:
    polygons = [_polygon(shape) for shape in shapes]
    if not any(_kind(shape) == 'mask' for shape in shapes):
        box = hull([number for polygon in polygons for number in polygon])
        alone = len(shapes) == 1 and _kind(shapes[0]) == 'rectangle'
        return Instance(label, box, None if alone else polygons)
    from pycocotools import mask as coco_mask

    whole = np.zeros(size, np.uint8, order='F')
    for shape, polygon in zip(shapes, polygons, strict=True):
        if _kind(shape) == 'mask':
            _paste(whole, shape)
        else:
            whole |= coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([polygon], *size)))
    lengths = coco_mask.encode(whole)
    box = tuple(coco_mask.toBbox(lengths).tolist())
    return Instance(label, box, dict(size=list(size), counts=lengths['counts'].decode()))


def _polygon(shape: dict) -> list[float]:
    points = _points(shape) or []
    if _kind(shape) == 'rectangle' or _kind(shape) == 'mask':
        x, y, width, height = hull(points)
        return [x, y, x + width, y, x + width, y + height, x, y + height]
    if _kind(shape) == 'circle':  # its centre, and a point on it
        radius = math.dist(points[:2], points[2:4])
        turns = [2 * math.pi * i / CIRCLE for i in range(CIRCLE)]
        return [
            number
            for turn in turns
            for number in (points[0] + radius * math.cos(turn), points[1] + radius * math.sin(turn))
        ]
    return points


def _paste(whole: np.ndarray, shape: dict) -> None:
    """A mask is a picture of the box that its two points span."""
    with Image.open(io.BytesIO(base64.b64decode(shape['mask']))) as picture:
        mask = np.asarray(picture.convert('L')) > 0
    left, top = (round(number) for number in hull(_points(shape) or [])[:2])
    inside = whole[max(top, 0) : top + mask.shape[0], max(left, 0) : left + mask.shape[1]]
    inside |= mask[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]].astype(np.uint8)
