"""Images of a validation, truth beside prediction: a JPEG each, and what lies on it as SVG shapes."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ..data.photo import read_photo

SIDE = 416  # pixels of the longer side on the page
QUALITY = 80
MOST = 40  # objects on one image
TOLERANCE = 0.6  # pixels of the page by which an outline may be off


@dataclass
class Shape:
    """An object, in pixels of the picture.

    outline: an SVG path; '' where there is the box alone.
    """

    box: list[float]
    label: int
    score: float | None = None
    outline: str = ''


@dataclass
class Picture:
    """One image of a validation.

    image: JPEG, in base64.
    truth, prediction: shapes, or PNGs in base64 whose colours are the classes'.
    worth: of the prediction, from 0 to 1.
    """

    name: str
    group: str
    worth: float
    width: int
    height: int
    image: str
    truth: list[dict] | str
    prediction: list[dict] | str


def open_picture(path: str | Path) -> tuple[Image.Image, float]:
    """An image as a person sees it, no larger than it is shown, and the size of it by that of the file's.

    Raises:
        OSError: it cannot be read.
    """
    image = Image.fromarray(np.ascontiguousarray(read_photo(Path(path).read_bytes(), bits=None)[..., ::-1]))
    scale = min(1.0, SIDE / max(image.size))
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS), scale  # type: ignore[arg-type]


def jpeg(image: Image.Image) -> str:
    """In base64."""
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode()


def label_png(labels: np.ndarray, size: tuple[int, int], palette: Sequence[Sequence[int]]) -> str:
    """A label map (H, W), of the size (W, H) of its picture, in base64; what is no class is transparent."""
    nothing = len(palette)
    shown = np.where((labels >= 0) & (labels < nothing), labels, nothing)
    if nothing < 256:
        image = Image.fromarray(shown.astype(np.uint8), mode='P')
        image.putpalette([*(value for colour in palette for value in colour), 0, 0, 0])
        options: dict[str, Any] = dict(transparency=nothing)
    else:
        colours = np.array([[*colour, 255] for colour in palette] + [[0, 0, 0, 0]], dtype=np.uint8)
        image, options = Image.fromarray(colours[shown]), {}
    file = io.BytesIO()
    image.resize(size, Image.Resampling.NEAREST).save(file, 'PNG', optimize=True, **options)
    return base64.b64encode(file.getvalue()).decode()


def shapes(
    boxes: np.ndarray,
    labels: Iterable[int],
    scale: float,
    scores: Sequence[float] | None = None,
    masks: Sequence[Mapping[str, Any]] | None = None,
) -> list[Shape]:
    """Objects on a picture.

    Args:
        boxes: (N, 4), left, top, right, bottom, in pixels of the file.
        labels: (N,).
        scale: of the picture.
        scores: (N,); None of the truth.
        masks: as COCO's run lengths, in pixels of the file.
    """
    found = []
    for number, (box, label) in enumerate(zip(np.asarray(boxes).tolist(), labels, strict=True)):
        found.append(
            Shape(
                [round(side * scale, 1) for side in box],
                int(label),
                None if scores is None else round(float(scores[number]), 3),
                _outline(masks[number], scale) if masks is not None else '',
            )
        )
    return found[:MOST]


def _outline(mask: Mapping[str, Any], scale: float) -> str:
    pixels = coco_mask.decode(dict(mask))
    contours, _ = cv2.findContours(np.ascontiguousarray(pixels), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    path = ''
    for contour in contours:
        points = cv2.approxPolyDP(contour, TOLERANCE / scale, True)[:, 0] * scale
        if len(points) > 2:
            path += 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points.tolist()) + 'Z'
    return path
