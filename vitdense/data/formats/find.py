"""What a folder holds, whatever the format."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import UserError
from ...findings import first_few
from ..categories import nearest
from . import coco, label_maps, labelme, voc, yolo
from .files import load_json
from .problems import Problem
from .records import SPLITS, Annotations

# COCO's file first: tools write it beside others. Labels as text are YOLO's, as pictures label maps.
FORMATS = (coco, yolo, voc, labelme, label_maps)

EXPECTED = """\
    COCO          a JSON file with images, annotations and categories, in the folder or in annotations/
    YOLO          data.yaml, or classes.txt, and a text file for each image
    Pascal VOC    an XML file for each image
    LabelMe       a JSON file for each image
    label maps    images/ and labels/, masks/ or annotations/ with a picture of the same name for each"""


def read_folders(folders: Sequence[Path]) -> Annotations:
    """All annotations of one or several folders, whose classes must agree.

    Raises:
        UserError: a folder is not there, holds no known format, or its classes are others.
    """
    first, *others = (read_folder(folder) for folder in folders)
    for folder, other in zip(folders[1:], others, strict=True):
        if set(other.classes) - set(first.classes) or other.is_label_maps != first.is_label_maps:
            pairs = [
                f'{name} (perhaps {nearest(name, first.classes)})'
                for name in other.classes
                if name not in first.classes
            ]
            what = ', '.join(pairs) or other.format
            raise UserError(f'--data {folder}: its classes are not those of {folders[0]}: {what}')
        first = _joined(first, other)
    return first


def read_folder(folder: Path) -> Annotations:
    """All annotations of a folder.

    Raises:
        UserError: it is not there, or holds no known format.
    """
    if not folder.is_dir():
        raise UserError(f'--data {folder}: no such folder')
    found = next(filter(None, (form.read(folder) for form in FORMATS)), None)
    if found is None:
        raise UserError(
            f'--data {folder}: no annotations in a known format{_unreadable(folder)}. '
            f'Expected one of:\n{EXPECTED}'
        )
    for records in found.splits.values():
        records.sort(key=lambda record: (record.image.name, record.image))
    found.splits = {key: found.splits[key] for key in ('all', *SPLITS) if found.splits.get(key)}
    if not found.splits:
        raise UserError(f'--data {folder}: {found.format} without an image that can be read')
    return found


def _unreadable(folder: Path) -> str:
    """The JSON files that may have been meant, for a message."""
    problems: list[Problem] = []
    for file in sorted(folder.rglob('*.json')):
        load_json(file, problems)
    files = first_few((f'{one.where} ({one.came})' for one in problems), 3)
    return f'; cannot be read: {files}' if problems else ''


def _joined(first: Annotations, other: Annotations) -> Annotations:
    """`other` with the labels of `first`, after it."""
    labels = [first.classes.index(name) for name in other.classes]
    for split, records in other.splits.items():
        for record in records:
            record.instances = [replace(one, label=labels[one.label]) for one in record.instances]
        first.splits.setdefault(split, []).extend(records)
    if other.is_label_maps:
        values = {value: None if label is None else labels[label] for value, label in other.values.items()}
        if any(first.values.get(value, label) != label for value, label in values.items()):
            raise UserError('--data: the folders give one value of their label maps to different classes')
        first.values.update(values)
        first.pixels += other.pixels
    first.problems += other.problems
    first.notes += other.notes
    return first
