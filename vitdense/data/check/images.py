"""Image files, decoded to their last byte: what the training sees of them, or what is wrong with them.

The training reads with OpenCV, which may give a truncated JPEG with the missing part grey; Pillow raises. So
JPEGs are decoded with Pillow, at an eighth of their size, which still reads every byte. The other formats are
decoded with both: OpenCV must be able to read them, and it refuses what is cut off. Pillow refuses very large
images, which OpenCV reads; MMSegmentation reads label maps with Pillow.
"""

import contextlib
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from io import BytesIO
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from rich.progress import Progress

from ...findings import Kind, Level
from ..formats.files import SIDEWAYS, is_transparent, orientation_of

MISSING = Kind('missing images')
UNREADABLE = Kind('unreadable images')
TRUNCATED = Kind('truncated images', 'OpenCV may fill the rest with grey and train on it')
TURNED = Kind(
    'images that an EXIF tag turns', 'OpenCV obeys it; many annotation tools do not', level=Level.WARNING
)
DARK = Kind('images of 16 bits that become black', 'OpenCV keeps the upper 8 bits', level=Level.WARNING)
TRANSPARENT = Kind('images with transparency', 'OpenCV shows what it hides', level=Level.WARNING)

Warned = tuple[Kind, str, str]  # what it is, what came, what was expected

LARGEST = 1 << 30  # pixels that OpenCV decodes
BLACK = 32  # of 256


class Damaged(Exception):
    """A file that does not give its pixels: `kind`, and `came`, what came instead."""

    def __init__(self, kind: Kind, came: str):
        super().__init__(came)
        self.kind, self.came = kind, came


class LabelMap(NamedTuple):
    """A decoded label map.

    size: (H, W).
    form: of its pixels, as Pillow calls it.
    counts: pixels of each value, (256,) or (65536,) int; None if the form is not one channel of 1, 8 or 16
    bits.
    """

    size: tuple[int, int]
    form: str
    counts: np.ndarray | None


class Picture(NamedTuple):
    """A decoded image.

    size: (H, W), as the training reads it: OpenCV obeys the EXIF orientation.
    content, pixels: digests of the file, and of what was decoded of it.
    warnings: each with its kind, what came and what was expected.
    """

    size: tuple[int, int]
    content: bytes
    pixels: bytes
    warnings: list[Warned]


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image as the training reads it; see `picture`."""
    return picture(path).size


def picture(path: Path) -> Picture:
    """An image as the training reads it.

    Raises:
        Damaged: it is missing, unreadable or truncated.
    """
    with _damage():
        data = _read(path)
        look = _jpeg if data.startswith(b'\xff\xd8') else _other
        size, pixels, warnings = look(data)
        return Picture(size, _digest(data), pixels, warnings)


def _jpeg(data: bytes) -> tuple[tuple[int, int], bytes, list[Warned]]:
    image = JpegImageFile(BytesIO(data))  # not by Image.open, which refuses large ones
    if image.width * image.height > LARGEST:
        raise Damaged(UNREADABLE, f'{image.width} × {image.height} pixels, which OpenCV refuses')
    orientation = _orientation(image)
    width, height = image.size[::-1] if orientation in SIDEWAYS else image.size
    image.draft('L', (1, 1))
    image.load()
    # Nothing notices an unfinished copy whose rest is zeros: to a decoder they are more pixels.
    if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
        raise Damaged(TRUNCATED, 'no end-of-image marker after the last scan')
    size = height, width
    pixels = _digest(f'{size} {orientation}'.encode() + image.tobytes())
    return size, pixels, list(_turned(orientation, size))


def _other(data: bytes) -> tuple[tuple[int, int], bytes, list[Warned]]:
    warnings: list[Warned] = []
    name = 'an image that OpenCV cannot read'
    with contextlib.suppress(Image.DecompressionBombError):  # OpenCV may read it
        image = _opened(data)
        image.load()
        name = f'{image.format} that OpenCV cannot read'
        if image.format == 'PNG':
            warnings += _turned(_orientation(image), (image.height, image.width))
        warnings += _transparent(image)
    array = np.frombuffer(data, np.uint8)
    pixels = cv2.imdecode(array, cv2.IMREAD_COLOR)
    if pixels is None:
        raise Damaged(UNREADABLE, name)
    if pixels.max() < BLACK:
        stored = cv2.imdecode(array, cv2.IMREAD_UNCHANGED)
        if stored is not None and stored.dtype == np.uint16 and stored.max() > pixels.max():
            came = f'values up to {stored.max()}, which become 0 to {pixels.max()}'
            warnings.append((DARK, came, 'values up to 65535, or 8 bits'))
    size = pixels.shape[:2]
    return size, _digest(f'{size}'.encode() + pixels.tobytes()), warnings


def _turned(orientation: int, size: tuple[int, int]) -> Iterator[Warned]:
    """A turn that no size betrays: where the sides are exchanged, the annotations say if it was obeyed."""
    if orientation in (2, 3, 4) or (orientation in SIDEWAYS and size[0] == size[1]):
        yield TURNED, f'EXIF orientation {orientation}', 'annotations of the turned image, or no tag'


def _transparent(image: Image.Image) -> Iterator[Warned]:
    if is_transparent(image):
        alpha = np.asarray(image.convert('RGBA').getchannel('A'))
        if share := np.count_nonzero(alpha < 255) / alpha.size:
            yield TRANSPARENT, f'{share:.1%} of its pixels are not opaque', 'an opaque image'


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


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
        elif form in ('1', 'I') or form.startswith('I;16'):
            values = np.asarray(image).ravel()
            if values.min() >= 0 and values.max() < 1 << 16:
                counts = np.bincount(values, minlength=256 if form == '1' else 1 << 16)
        return LabelMap((height, width), form, counts)


def _read(path: Path) -> bytes:
    if not path.is_file():  # a pipe would be waited for
        raise Damaged(MISSING, 'not a file' if os.path.lexists(path) else f'no such file{_near(path)}')
    return path.read_bytes()


def _near(path: Path) -> str:
    """The file that was perhaps meant, for a message."""
    with contextlib.suppress(OSError, ValueError):
        names = _names(str(path.parent), path.parent.stat().st_mtime_ns)
        for form in (normal_form, _spelling, _stem):
            if near := names[form].get(form(path.name)):
                break
        else:
            return ''
        return ', but one in another Unicode normal form' if form is normal_form else f', but {near!r}'
    return ''


def normal_form(name: str) -> str:
    """A name as most programs write it; to a file system on Linux its other forms are other names."""
    return unicodedata.normalize('NFC', name)


def _spelling(name: str) -> str:
    return normal_form(name).casefold()


def _stem(name: str) -> str:
    return os.path.splitext(_spelling(name))[0]


@lru_cache(maxsize=4)
def _names(folder: str, changed: int) -> dict[Callable[[str], str], dict[str, str]]:
    """The files of a folder by their names without what persons and programs change."""
    names = sorted(os.listdir(folder), reverse=True)
    return {form: {form(name): name for name in names} for form in (normal_form, _spelling, _stem)}


def _opened(data: bytes) -> Image.Image:
    """An image whose checksums, where its format has them, are right; not decoded yet."""
    with Image.open(BytesIO(data)) as image:
        image.verify()
    return Image.open(BytesIO(data))


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 is upright."""
    with contextlib.suppress(Exception):  # a damaged tag is no tag to OpenCV
        return orientation_of(image)
    return 1


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
