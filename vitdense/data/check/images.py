"""Image files, decoded to their last byte: their size, or what is wrong with them.

The training reads with OpenCV, which may give a truncated JPEG with the missing part grey; Pillow raises. So
JPEGs are decoded with Pillow, at an eighth of their size, which still reads every byte. The other formats are
decoded with both: OpenCV must be able to read them, and it refuses what is cut off.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from rich.progress import Progress

from .findings import Kind

MISSING = Kind('missing images')
UNREADABLE = Kind('unreadable images')
TRUNCATED = Kind('truncated images', 'OpenCV may fill the rest with grey and train on it')

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


class Damaged(Exception):
    """A file that does not give its pixels: `kind`, and `came`, what came instead."""

    def __init__(self, kind: Kind, came: str):
        super().__init__(came)
        self.kind, self.came = kind, came


class LabelMap(NamedTuple):
    """A decoded label map.

    size: (H, W).
    form: of its pixels, as Pillow calls it.
    counts: pixels of each value, (256,) or (65536,) int; None if the form is not one channel of 8 or 16 bits.
    """

    size: tuple[int, int]
    form: str
    counts: np.ndarray | None


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image as the training reads it, which obeys the EXIF orientation.

    Raises:
        Damaged: it is missing, unreadable or truncated.
    """
    with _damage():
        data = _read(path)
        image = _opened(data)
        if image.format not in ('JPEG', 'MPO'):
            image.load()
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if pixels is None:
                raise Damaged(UNREADABLE, f'{image.format} that OpenCV cannot read')
            return pixels.shape[:2]
        width, height = image.size[::-1] if _sideways(image) else image.size
        image.draft('L', (1, 1))
        image.load()
        # Nothing notices an unfinished copy whose rest is zeros: to a decoder they are more pixels.
        if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
            raise Damaged(TRUNCATED, 'no end-of-image marker after the last scan')
        return height, width


def label_map(path: Path) -> LabelMap:
    """A label map as MMSegmentation reads it: with Pillow, as it is stored.

    Raises:
        Damaged: it is missing, unreadable or truncated.
    """
    with _damage():
        image = _opened(_read(path))
        width, height = image.size
        stored = tile[0].args if (tile := getattr(image, 'tile', None)) else None
        form = f'{image.mode}, stored as {stored}' if stored in ('L;2', 'L;4') else image.mode
        image.load()
        counts = None
        if form in ('L', 'P'):
            counts = np.array(image.histogram())
        elif form.startswith('I;16'):
            counts = np.bincount(np.asarray(image).ravel(), minlength=1 << 16)
        return LabelMap((height, width), form, counts)


def _read(path: Path) -> bytes:
    if not path.is_file():  # a pipe would be waited for
        raise Damaged(MISSING, 'not a file' if os.path.lexists(path) else 'no such file')
    return path.read_bytes()


def _opened(data: bytes) -> Image.Image:
    """An image whose checksums, where its format has them, are right; not decoded yet."""
    with Image.open(BytesIO(data)) as image:
        image.verify()
    return Image.open(BytesIO(data))


def _sideways(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):  # a damaged tag is no tag to OpenCV
        return image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    return False


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except Damaged:
        raise
    except UnidentifiedImageError as error:
        raise Damaged(UNREADABLE, 'in no image format that is known') from error
    except Exception as error:  # decoders raise anything on bytes that they do not expect
        kind = TRUNCATED if 'truncated' in str(error).lower() else UNREADABLE
        raise Damaged(kind, str(error) or type(error).__name__) from error


def read_all(
    read: Callable[[Any], Any], items: Sequence[Any], progress: Progress, title: str
) -> Iterator[tuple[Any, Any]]:
    """Each item, in order, with what `read` returns for it, or with the `Damaged` that it raises.

    In threads: decoders give Python's lock back while they work.
    """
    with ThreadPool(min(32, (os.cpu_count() or 1) + 4)) as pool:
        results = pool.imap(partial(attempt, read), items)
        yield from zip(items, progress.track(results, len(items), description=title), strict=True)


def attempt(read: Callable[[Any], Any], item: Any) -> Any:
    """What `read` returns for an item, or the `Damaged` that it raises."""
    try:
        return read(item)
    except Damaged as damage:
        return damage
