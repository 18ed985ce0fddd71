"""Finding the image files of a folder, and their sizes."""

import json
import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PureWindowsPath
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

from PIL import ExifTags, Image
from PIL import TiffImagePlugin as TiffTags

from .problems import UNREADABLE_FILE, Problem
from .records import SUFFIXES, split_of

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
TURNED_BY_OPENCV = ('JPEG', 'MPO', 'PNG', 'TIFF')
DEEP = 'have 16 bits'

_limit = Lock()  # around a setting of Pillow's that is everyone's


class ImageIndex:
    """The images anywhere below a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for root, folders, names in os.walk(self.folder, followlinks=True):
            folders.sort()
            for name in sorted(names):
                if os.path.splitext(name)[1].lower() in SUFFIXES:
                    found[name].append(Path(root, name))
        return found

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for name, paths in self.by_name.items():
            found[os.path.splitext(name)[0]].extend(paths)
        return found

    def find(self, name: str, beside: Path, split: str | None = None) -> Path | None:
        """The file that an annotation file calls by this name.

        Looked for from the likely folders, and then anywhere, where only one file, or only one of this
        split, has the name.

        Args:
            name: a name or a path, also one of Windows.
            beside: the folder of the annotation file.
            split: to which the image belongs, if that is known.
        """
        parts = (PureWindowsPath(name) if '\\' in name else Path(name)).parts
        if not parts:
            return None
        for base in (beside, beside / 'images', self.folder, self.folder / 'images', beside.parent):
            path = base.joinpath(*parts)
            if path.is_file():
                return path
        return only(self.by_name.get(parts[-1], []), self.folder, split)


def only(paths: list[Path], folder: Path, split: str | None) -> Path | None:
    """The one of several files of a name that belongs to a split, or None."""
    if len(paths) > 1:
        paths = [path for path in paths if split_of(path.relative_to(folder).parts[:-1]) == split]
    return paths[0] if len(paths) == 1 else None


def load_json(file: Path, problems: list[Problem]) -> Any:
    """What a JSON file holds; None, and a problem, where it cannot be read."""
    try:
        return json.loads(file.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(Problem(UNREADABLE_FILE, file.name, str(error)[:80]))
        return None


class Header(NamedTuple):
    """What an image file says before it is decoded.

    size: (H, W) as a person sees it, with the EXIF orientation obeyed.
    orientation: of EXIF, 1 to 8; 1 is upright.
    odd: what of it OpenCV shows otherwise than a person sees, or nothing.
    """

    size: tuple[int, int]
    orientation: int
    odd: str


def image_header(path: Path) -> Header | None:
    """The header of an image file; None if it cannot be read."""
    try:
        with open_image(path) as image:
            width, height = _stored_size(image)
            orientation = orientation_of(image)
            odd = ''
            if image.mode.startswith('I'):
                odd = DEEP
            elif is_transparent(image):
                odd = 'are transparent'
            elif orientation > 1 and image.format not in TURNED_BY_OPENCV:
                odd = 'have an EXIF turn that OpenCV does not obey'
    except Exception:  # Pillow's formats raise anything on a damaged file
        return None
    return Header((width, height) if orientation in SIDEWAYS else (height, width), orientation, odd)


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """(W, H) without a turn: of a TIFF, Pillow's `size` may be after it."""
    tags = getattr(image, 'tag_v2', {})
    return tags.get(TiffTags.IMAGEWIDTH, image.width), tags.get(TiffTags.IMAGELENGTH, image.height)


def image_size(path: Path) -> tuple[int, int] | None:
    """(H, W) as a person sees it; None if the header cannot be read."""
    header = image_header(path)
    return header and header.size


def annotated_size(height: Any, width: Any, image: Path) -> tuple[tuple[int, int] | None, bool]:
    """(H, W) as annotations say it, or else of the image file, and whether they say it."""
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return (height, width), True
    return image_size(image), False


def orientation_of(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 is upright. A damaged tag raises whatever Pillow makes of it."""
    value = image.getexif().get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and value in range(1, 9) else 1


def is_transparent(image: Image.Image) -> bool:
    """Whether an image has an alpha channel, or a colour that stands for nothing."""
    return image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La') or 'transparency' in image.info


def open_image(file: Path | BinaryIO) -> Image.Image:
    """Pillow's `Image.open`, for images of any size: it refuses 179 megapixels, which OpenCV reads."""
    with _limit:
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = most
