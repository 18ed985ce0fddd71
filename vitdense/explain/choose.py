"""Where to look from, where nobody says it: at what the model itself finds."""

import cv2
import numpy as np

from ..predict.result import Result
from .view import Place

PLACES = 2


def places_found(result: Result, most: int = PLACES) -> list[Place]:
    """The centres of the surest objects, or the inmost points of the largest regions of a label map.

    No centre is in the box of a surer object, which may be the same one. Where nothing is found, it is the
    centre of the image.
    """
    height, width = result.size
    found = [] if result.label_map is None else _inmost(result.label_map, len(result.classes), most)
    seen: list[list[float]] = []
    for box in result.boxes.tolist():
        x = min(max((box[0] + box[2]) / 2, 0), width - 1)
        y = min(max((box[1] + box[3]) / 2, 0), height - 1)
        if len(found) < most and not any(
            left <= x <= right and top <= y <= bottom for left, top, right, bottom in seen
        ):
            found.append(Place(x, y))
            seen.append(box)
    return found or [Place(width // 2, height // 2)]


def _inmost(labels: np.ndarray, classes: int, most: int) -> list[Place]:
    """Of each of the largest classes, the pixel that is farthest from all others."""
    present, counts = np.unique(labels[labels < classes], return_counts=True)
    found = []
    for label in present[np.argsort(-counts, kind='stable')][:most].tolist():
        inside = np.pad((labels == label).astype(np.uint8), 1)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        found.append(Place(int(x), int(y)))
    return found
