"""A dataset of its own, in one of three formats: images are copied, annotations written anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from ...errors import UserError
from .label_maps import UNLABELLED, labels_of
from .problems import CROWDS, SEVERAL_PARTS, Problem
from .records import Annotations, Record
from .write import coco_dict, dump_json, run_lengths

BACKGROUND = 'background'


def write_dataset(found: Annotations, out: Path, form: str) -> None:
    """Write 'coco', 'yolo' or 'label-maps' into a folder; a split of 'all' has no folder of its own.

    What a format cannot hold is left out and named in `found.problems`.

    Raises:
        UserError: label maps are wanted as objects, or boxes as label maps.
    """
    if found.is_label_maps and form != 'label-maps':
        raise UserError(f'--to {form}: label maps say which pixels are of a class, not which are one object')
    if form == 'label-maps' and not found.is_label_maps and not found.has_outlines:
        raise UserError('--to label-maps: expected outlines, these are boxes')
    dict(coco=_coco, yolo=_yolo, **{'label-maps': _label_maps})[form](found, out)


def _coco(found: Annotations, out: Path) -> None:
    for split, records in found.splits.items():
        place = out / ('images' if split == 'all' else split)
        copies = [Record(copy, record.size, record.instances) for record, copy in _copied(records, place)]
        dump_json(out / 'annotations' / f'instances_{split}.json', coco_dict(copies, found.classes, place))


def _yolo(found: Annotations, out: Path) -> None:
    outlines = found.has_outlines
    settings: dict = dict(path='.')
    for split, records in found.splits.items():
        below = '' if split == 'all' else split
        for record, copy in _copied(records, out / 'images' / below):
            lines = _lines(record, outlines, found.problems)
            file = out / 'labels' / below / f'{copy.stem}.txt'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(''.join(f'{line}\n' for line in lines))
        for name in ('train', 'val') if split == 'all' else (split,):
            settings[name] = str(Path('images', below))
    settings['names'] = dict(enumerate(found.classes))
    text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
    (out / 'data.yaml').write_text(text, encoding='utf-8')


def _lines(record: Record, outlines: bool, problems: list[Problem]) -> Iterator[str]:
    height, width = record.size
    for number, one in enumerate(record.instances, 1):
        parts = len(one.outline) if isinstance(one.outline, list) else 0
        x, y, w, h = one.box
        numbers = [(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
        where = f'{record.image.name}: object {number}'
        if one.crowd:
            problems.append(Problem(CROWDS, where, 'left out'))
            continue
        if outlines and parts == 1:
            numbers = [value / (height if i % 2 else width) for i, value in enumerate(one.outline[0])]
        elif outlines:
            problems.append(Problem(SEVERAL_PARTS, where, 'its box is kept'))
        yield ' '.join(map(repr, [one.label, *map(float, numbers)]))


def _label_maps(found: Annotations, out: Path) -> None:
    for split, records in found.splits.items():
        below = '' if split == 'all' else split
        for record, copy in _copied(records, out / 'images' / below):
            labels = labels_of(record.label_map, found.values) if record.label_map else _painted(record)
            file = out / 'labels' / below / f'{copy.stem}.png'
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(file)
    names = found.classes if found.is_label_maps else [BACKGROUND, *found.classes]
    (out / 'classes.txt').write_text(''.join(f'{name}\n' for name in names), encoding='utf-8')


def _painted(record: Record) -> np.ndarray:
    """(H, W) uint8: 0 is background, k the class k − 1; small objects over large ones, crowds unlabelled."""
    labels = np.zeros(record.size, np.uint8)
    masks = [(coco_mask.decode(run_lengths(one.outline, record.size)), one) for one in record.instances]
    for mask, one in sorted(masks, key=lambda pair: -int(pair[0].sum())):
        labels[mask > 0] = UNLABELLED if one.crowd else one.label + 1
    return labels


def _copied(records: list[Record], place: Path) -> Iterator[tuple[Record, Path]]:
    """Each record and the copy of its image, whose stem no other has."""
    place.mkdir(parents=True, exist_ok=True)
    stems: set[str] = set()
    for record in records:
        stem, suffix = record.image.stem, record.image.suffix
        if stem in stems:
            stem = f'{stem}-{suffix[1:]}'
        while stem in stems:
            stem = f'{stem}-2'
        stems.add(stem)
        copy = place / f'{stem}{suffix}'
        shutil.copyfile(record.image, copy)
        yield record, copy
