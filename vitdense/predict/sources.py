"""Where images come from: files, folders, videos, cameras, bytes, Pillow, NumPy, torch, and lists of them."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from ..data.formats.files import open_image
from ..data.formats.records import SUFFIXES
from ..data.photo import photo_pixels
from ..errors import UserError

IMAGES = SUFFIXES | {'.gif'}  # of a GIF the first frame
WHOLE = 0.9  # of the frames that a video says it has; the number is not exact
VIDEOS = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv'}


class UnreadableImage(UserError):
    """One of several sources that is no image, or none that the model takes; the others are not affected."""


@dataclass(frozen=True)
class Photo:
    """One image to predict on.

    name: its path, or its number among those given.
    image: (H, W, 3), RGB, uint8.
    frame: its number in a video, from 0.
    """

    name: str
    image: np.ndarray
    frame: int | None = None


@dataclass(frozen=True)
class Source:
    """Something that images are read from, when they are needed.

    name: a path, or the number among those given.
    value: the path, the pixels, or whatever it is.
    place: of a file, its path below the folder that was given.
    """

    name: str
    value: Any
    place: Path = Path('image.png')

    @property
    def is_video(self) -> bool:
        return isinstance(self.value, int) or (
            isinstance(self.value, Path) and self.value.suffix.lower() in VIDEOS
        )

    @property
    def is_camera(self) -> bool:
        return isinstance(self.value, int)

    def photos(self, bits: int | None = None) -> Iterator[Photo]:
        """One image, or the frames of a video.

        Args:
            bits: that images of 16 bits use, as for `read_photo`; None for their own.

        Raises:
            UnreadableImage: there is none, or a video ends early.
        """
        if self.is_video:
            yield from _frames(self)
        else:
            yield Photo(self.name, _pixels(self, bits))


def find_sources(source: Any) -> list[Source]:
    """What a source consists of.

    Args:
        source: a path of an image or a video, a folder, a pattern such as `photos/*.jpg`, the number of a
            camera, the bytes of an image file, an image of Pillow, an array (H, W, 3) or (H, W) of uint8 in
            **RGB**, a tensor (3, H, W) in RGB of uint8 or of floats from 0 to 1, or a list of these.

    Raises:
        UserError: no such file, a folder without images, or something else.
    """
    if isinstance(source, (str, os.PathLike)):
        if not os.fspath(source):
            raise UserError('an empty path; expected an image, a video or a folder')
        return list(_files(Path(source)))
    if isinstance(source, (list, tuple)):
        found = []
        for number, one in enumerate(source, 1):
            if isinstance(one, Source):
                found.append(one)
                continue
            if isinstance(one, (list, tuple)):
                raise UserError('a list in a list is no source of images; expected one list')
            within = find_sources(one)
            found += (
                within
                if isinstance(one, (str, os.PathLike))
                else [Source(f'image {number}', within[0].value)]
            )
        if not found:
            raise UserError('no image: the list is empty')
        return found
    if isinstance(source, (bool, np.bool_)) or not isinstance(
        source, (int, bytes, bytearray, memoryview, np.ndarray, torch.Tensor, Image.Image)
    ):
        raise UserError(
            f'a {type(source).__name__} is no source of images; expected a path, the number of a camera, '
            f'bytes, an image of Pillow, an array, a tensor, or a list of these'
        )
    return [Source(f'camera {source}' if isinstance(source, int) else 'image 1', source)]


def _files(path: Path) -> Iterator[Source]:
    if path.is_dir():
        files = sorted(_below(path))
        if not files:
            raise UserError(f'{path}: a folder without images or videos')
    elif path.exists():
        files = [path]
    elif glob.has_magic(str(path)):
        files = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        if not files:
            raise UserError(f'{path}: no file has such a name')
    else:
        raise UserError(f'{path}: no such file or folder')
    yield from (
        Source(str(file), file, file.relative_to(path) if path.is_dir() else Path(file.name))
        for file in files
    )


def _below(folder: Path) -> Iterator[Path]:
    """The images and videos of a folder and of those in it, also behind links, each folder once."""
    seen = {os.path.realpath(folder)}
    for root, folders, names in os.walk(folder, followlinks=True):
        places = {os.path.realpath(Path(root, name)): name for name in sorted(folders, reverse=True)}
        folders[:] = sorted(name for place, name in places.items() if place not in seen)
        seen |= places.keys()
        yield from (Path(root, name) for name in names if Path(name).suffix.lower() in IMAGES | VIDEOS)


def _pixels(source: Source, bits: int | None) -> np.ndarray:
    """(H, W, 3), RGB, as a person sees it."""
    value = source.value
    try:
        if isinstance(value, Path):
            value = value.read_bytes()
        if isinstance(value, (bytes, bytearray, memoryview)):
            with open_image(BytesIO(value)) as image:
                return photo_pixels(image, bits)
        if isinstance(value, Image.Image):
            return photo_pixels(value, bits)
    except Exception as error:  # Pillow's formats raise anything on a damaged file
        said = error.strerror if isinstance(error, OSError) else None
        reason = said or 'no image, or a damaged one'
        raise UnreadableImage(f'{source.name}: {reason}') from error
    array = _array(source.name, value)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, 2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        expected = '(3, H, W)' if isinstance(value, torch.Tensor) else '(H, W, 3) or (H, W)'
        raise UnreadableImage(f'{source.name}: of shape {tuple(value.shape)}; expected {expected}')
    return np.array(array)  # a copy: the caller may go on with the array


def _array(name: str, value: Any) -> np.ndarray:
    """An array or a tensor as (H, W, …) of uint8."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.is_floating_point():
            least, greatest = (float(value.min()), float(value.max())) if value.numel() else (0.0, 0.0)
            if least < 0 or greatest > 1:
                raise UnreadableImage(
                    f'{name}: floats from {least:.3g} to {greatest:.3g}; expected 0 to 1, or uint8'
                )
            value = (value.float() * 255).round().to(torch.uint8)
        value = value.permute(1, 2, 0).numpy() if value.ndim == 3 else value.numpy()
    if value.dtype != np.uint8:
        raise UnreadableImage(f'{name}: an array of {value.dtype}; expected uint8')
    return value


def _frames(source: Source) -> Iterator[Photo]:
    file = source.value if source.is_camera else str(source.value)
    video = cv2.VideoCapture(file)
    try:
        number = 0
        while True:
            there, frame = video.read()
            if not there:
                break
            yield Photo(source.name, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), number)
            number += 1
    finally:
        video.release()
    if not number:
        raise UnreadableImage(f'{source.name}: no video, or a damaged one')
    if not source.is_camera and number < WHOLE * (count := frame_count(source.value)):
        raise UnreadableImage(f'{source.name}: ends after {number} of about {count} frames')


def frame_rate(path: Path) -> float:
    """Frames per second of a video; 25 where it does not say."""
    video = cv2.VideoCapture(str(path))
    rate = video.get(cv2.CAP_PROP_FPS)
    video.release()
    return rate if 0 < rate < 1000 else 25.0


def frame_count(path: Path) -> int:
    """About how many frames a video has; 0 where it does not say."""
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    return max(0, count)
