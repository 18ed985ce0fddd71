"""Photos as a person sees them: turned as their EXIF tag says, on white where transparent, of 16 bits bright.

MMCV reads with OpenCV, which shows what transparency hides, keeps the upper 8 of 16 bits whatever is in
them, and obeys the EXIF tag of some formats only.
"""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image, ImageOps

from .formats.files import is_transparent, open_image

BITS = 16


def read_photo(data: bytes, bits: int | None = BITS) -> np.ndarray:
    """The pixels (H, W, 3) of an image file, BGR, uint8.

    Args:
        data: the file's bytes.
        bits: that images of 16 bits use: 12, as of many cameras, if no value is above 4095; None for its own.

    Raises:
        OSError: they are no image.
    """
    with open_image(BytesIO(data)) as image:
        return cv2.cvtColor(photo_pixels(image, bits), cv2.COLOR_RGB2BGR)


def photo_pixels(opened: Image.Image, bits: int | None = BITS) -> np.ndarray:
    """The pixels (H, W, 3) of an image of Pillow, as `read_photo`, but RGB."""
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith('I'):
        gray = np.asarray(image).astype(np.int64)
        gray >>= (bits or _used_bits(gray.max())) - 8
        return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    if image.mode == 'F':
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise OSError('pixels that are no numbers')
        if values.min() >= 0 and values.max() <= 1:
            image = Image.fromarray(values * 255)
    if is_transparent(image):
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    return np.asarray(image.convert('RGB'))


def depth(images: Iterable[Path]) -> int:
    """12 or 16: the bits that some images of 16 bits use."""
    largest = 0
    for path in images:
        with open_image(path) as image:
            largest = max(largest, int(np.asarray(image).max()))
    return _used_bits(largest)


def _used_bits(largest: int) -> int:
    return 12 if largest < 1 << 12 else BITS


class LoadPhoto(LoadImageFromFile):
    """MMCV's `LoadImageFromFile`, as a person sees the image.

    Args:
        bits: as for `read_photo`.
        **kwargs: of `LoadImageFromFile`.
    """

    def __init__(self, bits: int = BITS, **kwargs: Any):
        super().__init__(**kwargs)
        self.bits = bits

    def transform(self, results: dict) -> dict | None:
        """Adds `img` (H, W, 3), BGR, and its sizes."""
        data = fileio.get(results['img_path'], backend_args=self.backend_args)
        image = read_photo(data, self.bits)
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
