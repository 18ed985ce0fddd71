"""Finding the image files of a folder, and their sizes."""

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PureWindowsPath

from PIL import ExifTags, Image

from .records import SUFFIXES, split_of

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
ORIENTATION = ExifTags.Base.Orientation


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


def image_size(path: Path) -> tuple[int, int] | None:
    """(H, W) as a person sees it, with the EXIF orientation obeyed; None if the header cannot be read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in SIDEWAYS
    except Exception:  # Pillow's formats raise anything on a damaged file
        return None
    return (width, height) if turned else (height, width)
