"""Records as the files that the datasets of a run read: COCO's JSON, or a list of label maps."""

import json
import os
from pathlib import Path
from typing import Any

from PIL import Image
from pycocotools import mask as coco_mask

from ...errors import UserError
from .label_maps import labels_of
from .records import Annotations, Instance, Record


def coco_dict(records: list[Record], classes: list[str], root: Path) -> dict[str, Any]:
    """COCO's lists: ids from 1, images by their path from `root`, areas of the outlines."""
    images: list[dict] = []
    annotations: list[dict] = []
    for number, record in enumerate(records, 1):
        height, width = record.size
        images.append(dict(id=number, file_name=_from(record.image, root), height=height, width=width))
        for one in record.instances:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=one.label + 1,
                    bbox=list(one.box),
                    area=one.area or area_of(one, record.size),
                    iscrowd=int(one.crowd),
                    segmentation=one.outline or [],
                )
            )
    categories = [dict(id=label, name=name) for label, name in enumerate(classes, 1)]
    return dict(images=images, annotations=annotations, categories=categories)


def area_of(one: Instance, size: tuple[int, int]) -> float:
    """Pixels of an outline, as pycocotools counts them; without one, of the box."""
    pixels = float(coco_mask.area(run_lengths(one.outline, size))) if one.outline else 0.0
    return pixels or one.box[2] * one.box[3]


def run_lengths(outline: Any, size: tuple[int, int]) -> dict:
    """An outline, polygons or run lengths, as pycocotools' compressed run lengths."""
    if isinstance(outline, list):
        return coco_mask.merge(coco_mask.frPyObjects(outline, *size))
    return coco_mask.frPyObjects(outline, *size) if isinstance(outline['counts'], list) else outline


def write_coco(found: Annotations, folder: Path, root: Path) -> dict[str, Path]:
    """`instances_<split>.json` in a folder, for each split that has images."""
    files = {}
    for split, records in found.splits.items():
        if records:
            files[split] = folder / f'instances_{split}.json'
            dump_json(files[split], coco_dict(records, found.classes, root))
    return files


def write_label_maps(found: Annotations, folder: Path, root: Path) -> dict[str, Path]:
    """`maps_<split>.json`, pairs of an image and its label map of labels 0, 1, …, and 255 for unlabelled.

    A map that has these values already is read where it is; others are written into `label_maps/`.
    """
    as_it_is = all(isinstance(value, int) and label in (value, None) for value, label in found.values.items())
    as_it_is = as_it_is and all(value == 255 for value, label in found.values.items() if label is None)
    files = {}
    for split, records in found.splits.items():
        pairs = []
        for number, record in enumerate(records):
            original = record.label_map
            assert original, record.image
            path = original
            if not (as_it_is and path.suffix.lower() == '.png' and _mode(path) in ('L', 'P')):
                path = folder / 'label_maps' / split / f'{number:06}-{record.image.stem}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(labels_of(original, found.values)).save(path)
            pairs.append(dict(image=_from(record.image, root), label_map=str(path.absolute())))
        if pairs:
            files[split] = folder / f'maps_{split}.json'
            dump_json(files[split], dict(classes=found.classes, pairs=pairs))
    return files


def _mode(path: Path) -> str:
    with Image.open(path) as image:
        return image.mode


def _from(path: Path, root: Path) -> str:
    return os.path.relpath(path, root) if path.is_relative_to(root) else str(path.absolute())


def dump_json(file: Path, whole: Any) -> None:
    """Write a file; one that is there stays, if it has the same text.

    Raises:
        UserError: it has another one: it is of other data, as where a run is resumed whose data have changed.
    """
    text = json.dumps(whole, ensure_ascii=False)
    if file.is_file() and file.read_text(encoding='utf-8') != text:
        raise UserError(f'{file}: has other annotations than the data now; a new folder would hold these')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding='utf-8')
