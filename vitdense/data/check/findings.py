"""What a check of files finds: each kind of error or warning, how often, and where."""

import os
import reprlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...findings import Kind, Level

EXAMPLES = 3  # cases of each kind that are kept and shown, unless all are wanted
LONGEST = 160  # characters of a name or of a value that are shown


MISSING_FOLDER = Kind('missing folders')
EMPTY = Kind('empty sets')
LEAVES = Kind('file names that leave the folder')
NEVER = Kind('classes that never occur', level=Level.WARNING)


class Case(NamedTuple):
    """One time that something is wrong: what came, and what was expected."""

    split: str
    where: str
    came: str
    expected: str

    def __str__(self) -> str:
        where, came, expected = map(_legible, self[1:])
        return f'{self.split}: {where}: {came}; expected {expected}'


class Photo(NamedTuple):
    """An image that can be read.

    name: as its dataset calls it.
    content, pixels: digests of the file, and of what a quick decoding gives.
    """

    name: str
    path: Path
    content: bytes
    pixels: bytes


@dataclass
class Findings:
    """All that was found in one split.

    most: cases of each kind that are kept; None for all.
    facts: labels and values of the first rows of the table.
    photos: the images that can be read.
    """

    split: str
    most: int | None = EXAMPLES
    facts: dict[str, str] = field(default_factory=dict)
    photos: list[Photo] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    cases: defaultdict[Kind, list[Case]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: Kind, where: str, came: str, expected: str) -> None:
        self.counts[kind] += 1
        if self.most is None or self.counts[kind] <= self.most:
            self.cases[kind].append(Case(self.split, where, came, expected))


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict = 2, 8, 3
        self.maxstring = self.maxlong = self.maxother = 60

    def repr_NoneType(self, value: None, level: int) -> str:
        return 'null'

    def repr_bool(self, value: bool, level: int) -> str:
        return 'true' if value else 'false'


short = _Short().repr  # a value of a JSON file, cut where it is long


def called(entry: dict, key: str) -> str:
    """An entry's value, for a message: `height None`, or `no height`."""
    return f'{key} {short(entry[key])}' if key in entry else f'no {key}'


def inside(path: str | Path, root: str | Path | None) -> str:
    """A path as seen from the data's folder, where it lies inside."""
    path, root = os.path.abspath(path), os.path.abspath(root or '')
    return os.path.relpath(path, root) if path.startswith(root.rstrip(os.sep) + os.sep) else path


def leaves(name: str) -> bool:
    """Whether a file name climbs out of the folder that it is joined to; a whole path is joined to none."""
    return os.path.normpath(name).split(os.sep)[0] == os.pardir


def _legible(text: str) -> str:
    """One line that cannot steer a terminal, whatever a file's author put into a name."""
    if len(text) > LONGEST:
        text = f'{text[: LONGEST - 40]}…{text[-40:]}'
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
