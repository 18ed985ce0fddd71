"""Images and what is annotated in them, whatever the format that they come in."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .problems import Problem

SPLITS = ('train', 'val', 'test')

# The names under which tools write the parts of a dataset.
SPLIT_NAMES = {
    'train': 'train', 'training': 'train', 'trainval': 'train',
    'val': 'val', 'valid': 'val', 'validation': 'val', 'dev': 'val',
    'test': 'test', 'testing': 'test',
}  # fmt: skip

SUFFIXES = {'.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.jp2', '.ppm', '.pgm'}


@dataclass(frozen=True)
class Instance:
    """One object.

    label: an index into the classes.
    box: x, y, width and height in pixels, from the left upper corner of the image; as the file has them, so
        that any of them can be negative or not finite.
    outline: polygons [x1, y1, x2, y2, …], or COCO's run lengths, or None where there is a box alone.
    crowd: a group, which is neither trained on nor scored as one object.
    area: pixels, where the file says so.
    """

    label: int
    box: tuple[float, float, float, float]
    outline: Any = None
    crowd: bool = False
    area: float | None = None


@dataclass
class Record:
    """One image.

    image: its file.
    size: (H, W) in pixels, as its annotations know it.
    instances: its objects; of a label map, none.
    label_map: the file of its label map, if it has one.
    sized: whether its annotations say its size, which shows if they are of the image as an EXIF tag turns it.
    odd: what of it OpenCV shows otherwise than a person sees (`files.Header`), or nothing.
    """

    image: Path
    size: tuple[int, int]
    instances: list[Instance] = field(default_factory=list)
    label_map: Path | None = None
    sized: bool = True
    odd: str = ''


@dataclass
class Annotations:
    """All that a folder holds.

    format: as people call it, such as 'Pascal VOC'.
    classes: their names, by label.
    splits: the records of 'train', 'val' and 'test'; of a folder without splits, of 'all'.
    values: for each value of the label maps, the label or None where it is unlabelled; of boxes, nothing.
    pixels: how many of the label maps have each value.
    problems: what is wrong, each with the file.
    notes: what was decided, a line each.
    """

    format: str
    classes: list[str]
    splits: dict[str, list[Record]]
    values: dict[Any, int | None] = field(default_factory=dict)
    pixels: Counter[Any] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        return [record for records in self.splits.values() for record in records]

    @property
    def has_outlines(self) -> bool:
        """Whether every object has an outline, and there is one."""
        instances = [one for record in self.records for one in record.instances if not one.crowd]
        return bool(instances) and all(one.outline for one in instances)

    @property
    def is_label_maps(self) -> bool:
        return any(record.label_map for record in self.records)

    def counts(self) -> Counter[str]:
        """Objects of each class, crowds left out."""
        return Counter(
            self.classes[one.label] for record in self.records for one in record.instances if not one.crowd
        )

    def pixel_counts(self) -> Counter[str]:
        """Pixels of each class in the label maps, the unlabelled left out."""
        counts = Counter({name: 0 for name in self.classes})
        for value, count in self.pixels.items():
            if (label := self.values[value]) is not None:
                counts[self.classes[label]] += count
        return counts


def image_files(folder: Path) -> Iterator[Path]:
    """The images directly inside a folder, in the order of their names."""
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def split_of(names: Iterable[str]) -> str | None:
    """The split that a file or a folder belongs to by its names, the last one that says so."""
    found = None
    for name in names:
        for word in _words(name):
            found = SPLIT_NAMES.get(word, found)
    return found


def _words(name: str) -> Sequence[str]:
    """`instances_train2017` is instances and train."""
    text = ''.join(c if c.isalpha() else ' ' for c in name.lower())
    return text.split()


def hull(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The box (x, y, width, height) around points x1, y1, x2, y2, …"""
    xs, ys = points[0::2], points[1::2]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
