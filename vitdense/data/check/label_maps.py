"""ADE20K's layout: a folder of images and a folder of label maps of the same names."""

import os
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from mmengine.fileio import list_dir_or_file
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from rich.progress import Progress

from ...findings import Kind, Level, first_few
from ..lessons import judge, mask_advice
from .findings import EMPTY, LEAVES, MISSING_FOLDER, NEVER, Findings, Photo, inside
from .images import (
    MISSING,
    TRUNCATED,
    UNREADABLE,
    Damaged,
    LabelMap,
    Picture,
    attempt,
    label_map,
    picture,
    read_all,
)

NO_MAP = Kind('images without label map')
MAP_UNREADABLE = Kind('unreadable label maps')
MAP_TRUNCATED = Kind('truncated label maps')
MAP_DAMAGED = {MISSING: NO_MAP, UNREADABLE: MAP_UNREADABLE, TRUNCATED: MAP_TRUNCATED}
NO_IMAGE = Kind('label maps without image')
NO_NAMES = Kind('lists of names that cannot be read')
SIZE = Kind('label maps of another size than their image')
FORM = Kind('label maps of another pixel form')
VALUES = Kind('label maps with values that are no class', 'MMSegmentation keeps the last 8 bits of a value')
ALL_IGNORED = Kind('label maps with every pixel ignored', level=Level.WARNING)

Pair = tuple[Path, Path]  # an image and its label map


class LabelMapCheck:
    """Checks one dataset.

    Args:
        dataset: built with `lazy_init=True`, so that it has read nothing.
        found: where to say what is wrong.
    """

    def __init__(self, dataset: BaseSegDataset, found: Findings, progress: Progress):
        self.dataset, self.found, self.progress = dataset, found, progress
        self.pictures, self.maps = (Path(dataset.data_prefix[key]) for key in ('img_path', 'seg_map_path'))
        self.classes = dataset.metainfo['classes']
        self.becomes = _becomes(dataset)
        self.pixels: Counter[int] = Counter()  # of each class, as the training sees it, 255 for ignored
        self.values: set[int] = set()  # in the files

    def run(self) -> None:
        lacking = [folder for folder in (self.pictures, self.maps) if not folder.is_dir()]
        for folder in lacking:
            what = 'images' if folder == self.pictures else 'label maps'
            self.found.add(MISSING_FOLDER, f'{self._place(folder)}/', 'no such folder', what)
        if not lacking:
            self._pairs(self._named())

    def _named(self) -> list[Pair]:
        """The images, and the label maps that belong to them, as the training would find them."""
        names = self.dataset.ann_file  # a file with a name in each line; usually none, and the folder counts
        try:
            entries = self.dataset.load_data_list()
        except (OSError, ValueError, AssertionError) as error:
            where = self._place(names or self.pictures)
            self.found.add(NO_NAMES, where, str(error), 'a name in each line')
            return []
        if not entries:
            where, expected = self._place(names or self.pictures), f'files named *{self.dataset.img_suffix}'
            self.found.add(EMPTY, where, f'no image, but {self._others()}', expected)
        pairs = []
        for entry in entries:
            pair = Path(entry['img_path']), Path(entry['seg_map_path'])
            # a whole path in the list of names is joined to no folder
            joined = entry['img_path'].startswith(os.path.join(self.dataset.data_prefix['img_path'], ''))
            if joined and os.path.isabs(inside(pair[0], self.pictures)):
                expected = f'a name inside {self._place(self.pictures)}/'
                self.found.add(LEAVES, self._place(names), str(pair[0]), expected)
            else:
                pairs.append(pair)
        if entries and not names:  # a file may well name only some
            self._spare({picture for picture, _ in pairs})
        return pairs

    def _others(self) -> str:
        """What the folder of images holds."""
        names = list_dir_or_file(str(self.pictures), list_dir=False, recursive=True)
        suffixes = Counter(Path(name).suffix for name in names).most_common()
        return first_few(f'{count} named *{suffix}' for suffix, count in suffixes) or 'nothing else'

    def _spare(self, pictures: set[Path]) -> None:
        """Label maps that no image belongs to."""
        label = self.dataset.seg_map_suffix
        for name in sorted(list_dir_or_file(str(self.maps), list_dir=False, suffix=label, recursive=True)):
            picture = self.pictures / (name.removesuffix(label) + self.dataset.img_suffix)
            if picture not in pictures:
                self.found.add(NO_IMAGE, self._place(self.maps / name), 'no image', self._place(picture))

    def _pairs(self, pairs: list[Pair]) -> None:
        total, whole = 0, 0
        for pair, (seen, labels) in read_all(_read_pair, pairs, self.progress, f'{self.found.split} images'):
            path, file = pair
            if isinstance(seen, Damaged):
                self.found.add(seen.kind, self._place(path), seen.came, 'a whole image')
            else:
                name = inside(path, self.pictures)
                self.found.photos.append(Photo(name, path, seen.content, seen.pixels))
                for kind, came, expected in seen.warnings:
                    self.found.add(kind, self._place(path), came, expected)
            if isinstance(labels, Damaged):
                expected = f'the label map of {self._place(path)}'
                self.found.add(MAP_DAMAGED[labels.kind], self._place(file), labels.came, expected)
                continue
            whole += 1
            if not isinstance(seen, Damaged) and seen.size != labels.size:
                came = f'height {labels.size[0]}, width {labels.size[1]}'
                if labels.size == seen.size[::-1]:
                    came += " (exchanged: the map is transposed, or the image's EXIF tag turns it alone)"
                expected = f'height {seen.size[0]}, width {seen.size[1]}, as its image'
                self.found.add(SIZE, self._place(file), came, expected)
            if labels.counts is None:
                came = f'pixels of form {labels.form} (as Pillow calls it)'
                self.found.add(FORM, self._place(file), came, 'one channel of 8 or 16 bits: L, P or I;16')
                continue
            total += int(labels.counts.sum())
            self._values(file, labels.counts)
        self.found.facts['images'] = str(len(pairs))
        self.found.facts['label maps'] = str(whole)
        if whole:
            self._lesson()
        if total:
            self.found.facts['ignored pixels'] = f'{self.pixels[self.dataset.ignore_index] / total:.1%}'
            for label, name in enumerate(self.classes):
                if not self.pixels[label]:
                    where = f'{self._place(self.maps)}/, class {name!r}'
                    self.found.add(NEVER, where, 'no pixel', f'value {self._value(label)} somewhere')

    def _lesson(self) -> None:
        """Whether there is something to learn, and of what classes."""
        times = [self.pixels[label] for label in range(len(self.classes))]
        if verdict := judge(self.classes, times, pixels=True):
            kind, came = verdict
            values = f'values {first_few(sorted(self.values))} in the files'
            first = int(self.dataset.reduce_zero_label)
            expected = mask_advice(self.values, self.dataset.ignore_index, first) or self._expected()
            self.found.add(kind, f'{self._place(self.maps)}/', f'{came}; {values}', expected)

    def _values(self, file: Path, counts: np.ndarray) -> None:
        """Count the pixels of each class, and say which values are none."""
        ignore = self.dataset.ignore_index
        values = np.flatnonzero(counts)
        self.values.update(values.tolist())
        ignored, wrong = True, []
        for value, label in zip(values.tolist(), self.becomes[values % 256].tolist(), strict=True):
            self.pixels[label] += int(counts[value])
            ignored = ignored and label == ignore
            if value > 255 or (label != ignore and label >= len(self.classes)):
                wrong.append((value, self._called(label)))
        if wrong:
            share = sum(int(counts[value]) for value, _ in wrong) / counts.sum()
            come, become = (first_few(side) for side in zip(*wrong, strict=True))
            came = f'value{"s" * (len(wrong) > 1)} {come} in {share:.1%} of its pixels, read as {become}'
            self.found.add(VALUES, self._place(file), came, self._expected())
        elif ignored:
            self.found.add(
                ALL_IGNORED, self._place(file), f'only {first_few(values)}', 'a pixel of some class'
            )

    def _called(self, label: int) -> str:
        if label == self.dataset.ignore_index:
            return f'{label} (ignored)'
        return f'{label} ({self.classes[label].strip()!r})' if label < len(self.classes) else str(label)

    def _expected(self) -> str:
        """The values that a label map may hold, and what becomes of them."""
        last = len(self.classes) - 1
        if self.dataset.label_map is not None:
            return 'the value of a class in the file'
        if self.dataset.reduce_zero_label:
            return f'1 to {last + 1}, which become 0 to {last}, or 0 and 255, which are ignored'
        return f'0 to {last}, or {self.dataset.ignore_index}, which is ignored'

    def _value(self, label: int) -> str:
        """What a class is called in the files."""
        return first_few(np.flatnonzero(self.becomes == label)) or 'of its own'

    def _place(self, path: str | Path) -> str:
        return inside(path, self.dataset.data_root)


def _read_pair(pair: Pair) -> tuple[Picture | Damaged, LabelMap | Damaged]:
    return attempt(picture, pair[0]), attempt(label_map, pair[1])


def _becomes(dataset: BaseSegDataset) -> np.ndarray:
    """What MMSegmentation's own loader makes of the values 0 to 255: (256,) uint8.

    It cuts larger values to their last 8 bits first.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/values.png'
        cv2.imwrite(path, np.arange(256, dtype=np.uint8).reshape(16, 16))
        entry = dict(
            seg_map_path=path,
            reduce_zero_label=dataset.reduce_zero_label,
            label_map=dataset.label_map,
            seg_fields=[],
        )
        return LoadAnnotations()(entry)['gt_seg_map'].ravel()
