"""The same photo under two names: the same bytes, or the same pixels in another file."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from rich.progress import Progress

from ...findings import Kind, Level
from .findings import Findings, Photo

SHARED = Kind(
    'images that are in two splits', 'the scores would be of images trained on', level=Level.WARNING
)
REPEATED = Kind(
    'images that are twice in a split', 'they count twice, or were annotated twice', level=Level.WARNING
)


class Place(NamedTuple):
    """A photo and the split that it is in."""

    found: Findings
    photo: Photo


def compare_photos(splits: Sequence[Findings], progress: Progress) -> None:
    """Say which images occur twice. Parts of one split may share images: that is how samples are weighted."""
    alike: defaultdict[bytes, list[Place]] = defaultdict(list)
    for found in splits:
        for photo in found.photos:
            alike[photo.pixels].append(Place(found, photo))
    several = [places for places in alike.values() if len(places) > 1]
    for places in progress.track(several, description='images that are alike'):
        for same in _same(places):
            _report(same)


def _same(places: list[Place]) -> Iterator[list[Place]]:
    """Those that are the same, together. What is alike in a quick decoding may differ in a full one."""
    while places:
        first = places[0].photo
        same = [_equal(first, place.photo) for place in places]
        yield [place for place, equal in zip(places, same, strict=True) if equal]
        places = [place for place, equal in zip(places, same, strict=True) if not equal]


def _equal(one: Photo, other: Photo) -> bool:
    if one.content == other.content:
        return True
    mine, theirs = (cv2.imread(str(photo.path)) for photo in (one, other))
    return mine is not None and theirs is not None and np.array_equal(mine, theirs)


def _report(same: list[Place]) -> None:
    for number, (found, photo) in enumerate(same):
        for split in dict.fromkeys(place.found.split for place in same[:number]):
            own = split == found.split
            if not own and split.split()[0] == found.split.split()[0]:
                continue  # two parts of the training
            first = next(place.photo for place in same[:number] if place.found.split == split)
            if own and first.path == photo.path:
                continue  # listed twice, which COCO's check says
            what = 'bytes' if first.content == photo.content else 'pixels'
            kind = REPEATED if own else SHARED
            came = f'the same {what} as {split} image {first.name}'
            found.add(kind, f'image {photo.name}', came, 'an image of its own')
