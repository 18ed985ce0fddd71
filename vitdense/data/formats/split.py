"""Which images train and which validate, where a folder does not say; whether given splits share images."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .files import open_image
from .problems import DAMAGED_IMAGE, TWO_SPLITS, Problem
from .records import Annotations, Record

SHARE = 0.15  # of the images, that validate
SIDE = 8  # of the difference hash, in bits
CLOSE = 10  # bits of 64 that differ between two frames of one clip
FRAME = re.compile(r'(.*?)(\d+)$')


class Look(NamedTuple):
    """By what two images are the same: the digest of the file, and its difference hash; or what is wrong."""

    digest: str
    bits: int | None
    damage: str = ''

    @property
    def keys(self) -> list[Hashable]:
        return [self.digest] if self.bits is None else [self.digest, self.bits]


def split(found: Annotations) -> None:
    """Give every record to 'train', 'val' or 'test', in place.

    Given splits stay. Without a validation split, one is taken from the others by the content of the files,
    so that names and order do not matter: a share of the images of each class, the rarest class first, where
    images that look alike stay together.
    """
    images = [record.image for record in found.records]
    with ThreadPoolExecutor() as threads:  # reading, digests and decoding need no lock of Python's
        looks = dict(zip(images, threads.map(look_of, images), strict=True))
    _leave_out_damaged(found, looks)
    rest = [record for name in ('all', 'train') for record in found.splits.pop(name, [])]
    rest.sort(key=lambda record: (record.image.name, record.image))
    if found.splits.get('val'):
        found.splits = dict(train=rest, **found.splits)
        _warn_of_leaks(found, looks)
        return
    if not rest:  # a test split alone
        return
    groups = alike(rest, looks)
    chosen = _stratified(groups, looks)
    found.splits = dict(
        train=[one for group in groups if id(group) not in chosen for one in group],
        val=[one for group in groups if id(group) in chosen for one in group],
        **found.splits,
    )
    for name in ('train', 'val'):
        found.splits[name].sort(key=lambda record: (record.image.name, record.image))
    together = sum(len(group) > 1 for group in groups)
    note = f'{len(found.splits["val"])} of {len(rest)} images validate, chosen by their content'
    found.notes.append(
        note + (f'; {together} groups of images that look alike stay together' if together else '')
    )
    _warn_of_leaks(found, looks)


def _leave_out_damaged(found: Annotations, looks: dict[Path, Look]) -> None:
    """Images that do not decode, as far as Pillow can tell: OpenCV may fill what is missing with grey."""
    for name, records in found.splits.items():
        for record in records:
            if damage := looks[record.image].damage:
                found.problems.append(Problem(DAMAGED_IMAGE, record.image.name, damage))
        found.splits[name] = [record for record in records if not looks[record.image].damage]


def alike(records: list[Record], looks: dict[Path, Look]) -> list[list[Record]]:
    """Groups of images with the same bytes, the same difference hash, or that follow each other in a clip."""
    parent = list(range(len(records)))

    def top(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Hashable, int] = {}
    for i, record in enumerate(records):
        for key in looks[record.image].keys:
            parent[top(i)] = top(first.setdefault(key, i))
    for one, other in _frames(records):
        before, after = (looks[records[i].image].bits for i in (one, other))
        if before is not None and after is not None and (before ^ after).bit_count() <= CLOSE:
            parent[top(other)] = top(one)
    groups: dict[int, list[Record]] = defaultdict(list)
    for i, record in enumerate(records):
        groups[top(i)].append(record)
    return list(groups.values())


def _frames(records: list[Record]) -> Iterator[tuple[int, int]]:
    """Pairs whose names are numbers that follow each other, behind the same words."""
    places = {}
    for i, record in enumerate(records):
        if match := FRAME.match(record.image.stem):
            places[record.image.parent, match[1], int(match[2])] = i
    for (folder, words, number), i in places.items():
        if (after := places.get((folder, words, number + 1))) is not None:
            yield i, after


def look_of(path: Path) -> Look:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return Look(digest, difference_hash(path))
    except Exception as error:  # Pillow's formats raise anything on a damaged file
        return Look(digest, None, str(error) or type(error).__name__)


def difference_hash(path: Path) -> int | None:
    """64 bits: whether each of 8 × 8 places is darker than the next (dHash); None of one flat colour."""
    with open_image(path) as image:
        image.draft('L', (4 * SIDE, 4 * SIDE))
        small = np.asarray(image.convert('L').resize((SIDE + 1, SIDE), Image.Resampling.BOX), int)
    if np.ptp(small) < 2 * SIDE:
        return None
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), 'big')


def _stratified(groups: list[list[Record]], looks: dict[Path, Look]) -> set[int]:
    """The groups that validate, by id (Sechidis et al., ECML 2011: the rarest class first)."""
    order = sorted(groups, key=lambda group: min(looks[record.image].digest for record in group))
    kinds = {id(group): _classes(group) for group in groups}
    total: Counter = Counter(kind for group in groups for kind in kinds[id(group)])
    images = sum(map(len, groups))
    chosen: set[int] = set()
    decided: set[int] = set()
    held: Counter = Counter()
    count = 0
    for kind in sorted(total, key=lambda kind: (total[kind], str(kind))):
        wanted = max(1, round(SHARE * total[kind])) if total[kind] > 1 else 0
        for group in order:
            if kind not in kinds[id(group)] or id(group) in decided:
                continue
            decided.add(id(group))
            if held[kind] < wanted and count + len(group) <= max(1, 2 * SHARE * images):
                chosen.add(id(group))
                held.update(kinds[id(group)])
                count += len(group)
    if not chosen and len(order) > 1:  # each class in one group alone
        chosen.add(id(min(order, key=len)))
    return chosen


def _classes(group: list[Record]) -> set[Hashable]:
    """Of the objects of a group; an image without any, or with a label map, has a class of its own kind."""
    labels: set[Hashable] = {one.label for record in group for one in record.instances}
    return labels or {None}


def _warn_of_leaks(found: Annotations, looks: dict[Path, Look]) -> None:
    """Images that several splits share, by their bytes or by how they look."""
    where: dict[Hashable, tuple[str, Record]] = {}
    for name, records in found.splits.items():
        for record in records:
            for key in looks[record.image].keys:
                before, other = where.setdefault(key, (name, record))
                if before != name:
                    came = f'{before} has it as {other.image.name}'
                    found.problems.append(Problem(TWO_SPLITS, f'{name}: {record.image.name}', came))
                    break
